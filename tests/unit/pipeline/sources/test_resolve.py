"""From names to sources: patterns, folders, files of many documents, and what is left out."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from reportlab.pdfgen.canvas import Canvas

from mplus_ray.model.errors import InvalidInputError
from mplus_ray.pipeline.ledger.tenant_log import TenantLog
from mplus_ray.pipeline.parsing.refusals import RefusalCount
from mplus_ray.pipeline.sources import (
    left_out,
    open_sources,
    read_again,
)
from mplus_ray.pipeline.sources.stdin import JsonLines
from tests.unit.pipeline.sources.taking import keys, lines, take


class TestNames:
    def test_a_glob_is_expanded_here(self, log: TenantLog, tmp_path: Path) -> None:
        for name in ("a.txt", "b.md", "sub/c.txt", ".hidden.txt"):
            (tmp_path / "d" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "d" / name).write_text(f"This is {name}.")
        take(log, open_sources([f"{tmp_path}/d/**/*.txt"]))
        assert keys(log) == [str(tmp_path / "d/a.txt"), str(tmp_path / "d/sub/c.txt")]
        with pytest.raises(InvalidInputError, match="nothing matches"):
            open_sources([f"{tmp_path}/*.pdf"])

    def test_a_file_with_the_name_of_a_glob_is_that_file(
        self, log: TenantLog, tmp_path: Path
    ) -> None:
        (tmp_path / "a[1].txt").write_text("One.")
        take(log, open_sources([f"{tmp_path}/a[1].txt"]))
        assert keys(log) == [str(tmp_path / "a[1].txt")]

    @pytest.mark.parametrize(
        ("names", "options", "said"),
        [
            (["ftp://x/y"], {}, "ftp:// is no source"),
            (["s3:///x"], {}, "names no bucket"),
            (["s3://key:secret@bucket/x"], {}, "credentials into the environment"),
            (["kafka://host:1/topic"], {}, r"\?group=NAME"),
            (["kafka://host:1/t?group=g&acks=1"], {}, "no option acks"),
            (["kafka://a/t?group=g", "kafka://b/t?group=g"], {}, "one for each"),
            (["nowhere"], {"follow": True}, "watches one folder"),
            (["-"], {"key": "x"}, "- holds many"),
            (["s3://b/x.csv?region=eu"], {"key": "x"}, "holds many"),
        ],
    )
    def test_what_cannot_be_is_said_at_once(
        self, names: list[str], options: dict, said: str
    ) -> None:
        with pytest.raises(InvalidInputError, match=said):
            open_sources(names, **options)


class TestFilesOfMany:
    def test_rows_are_documents_of_their_own(self, log: TenantLog, tmp_path: Path) -> None:
        file = tmp_path / "faq.jsonl"
        records = ({"id": "a", "text": "One."}, b"{broken", {"text": "Three."}, {"text": 4})
        file.write_bytes(lines(*records))
        intake = take(log, open_sources([str(file)]))
        assert keys(log) == [f"{file}#a", f"{file}#3"]
        assert [f.source for f in intake.failed] == [f"{file}#2", f"{file}#4"]
        assert "line 2 is not JSON" in log.failures.list()[0].reason
        assert (intake.new, intake.failures) == (2, 2)

    def test_bad_rows_are_retried_alone(self, log: TenantLog, tmp_path: Path) -> None:
        file = tmp_path / "faq.jsonl"
        file.write_bytes(lines({"text": "One."}, b"?", b"?", b"?"))
        take(log, open_sources([str(file)]))
        file.write_bytes(lines({"text": "One, changed."}, {"text": "Two."}, b"?"))
        intake = take(log, read_again(log.failures.list()))
        assert (intake.new, intake.failures) == (1, 2)
        assert keys(log) == [f"{file}#1", f"{file}#2"]
        assert [f.source for f in log.failures.list()] == [f"{file}#3", f"{file}#4"]
        assert "no record 4 any more" in intake.failed[1].reason

    def test_a_broken_file_is_one_failure_until_it_is_read(
        self, log: TenantLog, tmp_path: Path
    ) -> None:
        file = tmp_path / "t.parquet"
        file.write_bytes(b"PAR1 and then nothing")
        other = tmp_path / "z.txt"
        other.write_text("The rest goes on.")
        assert take(log, open_sources([str(file), str(other)])).new == 1
        assert [f.source for f in log.failures.list()] == [str(file)]
        pq.write_table(pa.table({"text": ["One.", "Two."]}), file)
        assert take(log, read_again(log.failures.list())).new == 2
        assert log.failures.list() == []

    def test_an_impossible_id_is_a_failure(self, log: TenantLog) -> None:
        stream = io.BytesIO(lines({"id": "a\u202eb", "text": "One."}, {"text": "Two."}))
        intake = take(log, JsonLines(stream))
        assert "cannot be a document's id" in intake.failed[0].reason
        assert intake.new == 1


def test_a_folder_that_cannot_be_read_is_a_failure(
    log: TenantLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked = tmp_path / "in" / "locked"
    locked.mkdir(parents=True)
    (locked / "b.txt").write_text("Nobody sees it.")
    (tmp_path / "in" / "a.txt").write_text("Everybody sees it.")
    scandir = os.scandir

    def refusing(path: str) -> object:
        if Path(path) == locked:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    intake = take(log, open_sources([str(tmp_path / "in")]))
    assert intake.new == 1
    assert [failure.source for failure in intake.failed] == [str(locked)]
    assert "cannot be read" in intake.failed[0].reason


def test_names_that_are_not_utf8_are_two_documents(log: TenantLog, tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path)
    for name in (b"caf\xe9.txt", b"caf\xe8.txt"):
        with open(os.path.join(folder, name), "wb") as file:  # noqa: PTH118, PTH123
            file.write(b"This is " + name[:3] + b".")
    intake = take(log, open_sources([str(tmp_path)]))
    assert (intake.new, intake.replaced) == (2, 0)
    assert len(set(keys(log))) == 2


def test_files_of_other_formats_are_counted(tmp_path: Path) -> None:
    for name in ("a.txt", "b.xyz", "c.XYZ", "d", "e"):
        (tmp_path / name).write_bytes(b"te\0xt" if name == "e" else b"text")
    source = open_sources([str(tmp_path)])
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "gone.txt").symlink_to(tmp_path / "nowhere")
    source = open_sources([str(tmp_path)])
    assert left_out(source).text() == (
        "5 left out: 2 .xyz (unsupported format), 1 .txt (link that leads out of the folder, or "
        "nowhere), 1 file (unsupported format), 1 folder (its name begins with a dot)"
    )


def test_what_is_left_out_is_counted_by_kind_and_reason(log: TenantLog, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    scan = Canvas(str(folder / "scan.pdf"))
    scan.rect(0, 0, 600, 800, fill=1)
    scan.showPage()
    scan.save()
    (folder / "a.psd").write_bytes(b"8BPS")
    (folder / "b.docx").write_bytes(b"\x89PNG\r\n")
    (folder / "c.csv").write_text("id,text\n1,Owls.\n2,\n../3,Ferries.\n")
    with zipfile.ZipFile(folder / "d.zip", "w") as archive:
        archive.writestr("e.txt", "Rain falls.")
        archive.writestr("f.psd", b"8BPS\0")
    source = open_sources([str(folder)])
    intake = take(log, source)
    intake.refusals.include(left_out(source).listed())
    assert intake.refusals.listed() == [
        RefusalCount(".psd", "unsupported format", 2),
        RefusalCount(".csv row", "impossible id", 1),
        RefusalCount(".csv row", "no text", 1),
        RefusalCount(".docx", "not what its name says", 1),
        RefusalCount(".pdf", "scan without a text layer; pass --ocr", 1),
    ]
