"""Every source: in order, one document at a time, and told only when the ledger has it."""

from __future__ import annotations

import io
import json
import os
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import BinaryIO
from urllib.parse import quote

import psutil
import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import pytest
from reportlab.pdfgen.canvas import Canvas

import tests.s3
from mplus_ray.model.errors import InvalidInputError, StorageError
from mplus_ray.pipeline.ingest.ingestor import DocumentChunker, IngestReport, take_in
from mplus_ray.pipeline.ledger.ledger import Ledger
from mplus_ray.pipeline.ledger.tenant_log import Entry, Outcome, TenantLog
from mplus_ray.pipeline.parsing.refusals import RefusalCount
from mplus_ray.pipeline.sources import (
    Idle,
    Incoming,
    Item,
    Until,
    left_out,
    open_sources,
    read_again,
)
from mplus_ray.pipeline.sources.buffered_stream import Arriving
from mplus_ray.pipeline.sources.follow import Folder
from mplus_ray.pipeline.sources.stdin import JsonLines
from tests.unit.fakes import FakeTokenizer
from tests.worlds import without_flushing

s3 = tests.s3.s3


@pytest.fixture
def log(tmp_path: Path) -> Iterator[TenantLog]:
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    yield ledger.create_tenant("anna", "weights")
    ledger.close()


def take(log: TenantLog, source: object, **options: object) -> IngestReport:
    return take_in(source, lambda: DocumentChunker(log, FakeTokenizer(64)), log=log, **options)  # type: ignore[arg-type]


def keys(log: TenantLog) -> list[str]:
    return [document.key for document in log.documents()]


def lines(*records: object) -> bytes:
    return b"".join(
        (r if isinstance(r, bytes) else json.dumps(r).encode()) + b"\n" for r in records
    )


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


class TestStandardInput:
    def test_lines_are_documents(self, log: TenantLog, monkeypatch: pytest.MonkeyPatch) -> None:
        data = lines(
            {"id": "a", "title": "A", "text": "One.", "metadata": {"x": [1]}},
            b"",
            b"not json",
            b"[1]",
            b"\xff\xfe",
            b'{"text": ' + b"[" * 200_000,
            {"text": " "},
            {"text": "x", "metadata": 3},
            {"text": "Last.", "author": "B"},
        )
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))
        intake = take(log, open_sources(["-"]))
        first, last = log.documents()
        assert (first.key, first.title) == ("a", "A")
        assert first.metadata == {"format": "ndjson", "x": [1]}
        assert last.key.startswith("stdin:")
        assert last.metadata["author"] == "B"
        assert [f.source.split(" (")[0].rsplit(" ", 1)[1] for f in intake.failed] == list("345678")
        assert all("cannot be read again" in f.reason for f in log.failures.list())

    def test_the_same_stream_again_is_recognized(self, log: TenantLog) -> None:
        data = lines({"text": "One."}, {"text": "Two."})
        assert take(log, JsonLines(io.BytesIO(data))).new == 2
        assert take(log, JsonLines(io.BytesIO(data))).known == 2

    def test_retrying_leaves_the_note_as_it_is(self, log: TenantLog) -> None:
        take(log, JsonLines(io.BytesIO(b"?\n")))
        before = [(f.source, f.reason) for f in log.failures.list()]
        assert take(log, read_again(log.failures.list())).failures == 1
        assert [(f.source, f.reason) for f in log.failures.list()] == before

    def test_an_endless_line_is_passed_over(
        self, log: TenantLog, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("mplus_ray.pipeline.parsing.records.jsonl.MAX_RECORD", 100)
        data = lines(b"x" * 1000, {"text": "After it."}, b"y" * 250)
        intake = take(log, JsonLines(io.BytesIO(data)))
        assert (intake.new, intake.failures) == (1, 2)
        assert "line 1 is longer than" in intake.failed[0].reason


class TestOneAtATime:
    def test_a_source_is_told_after_the_ledger_has_it(self, log: TenantLog) -> None:
        told: list[tuple[list[str], int]] = []

        def tell() -> None:
            told.append((keys(log), len(log.failures.list())))

        def stream() -> Iterator[Item]:
            for item in JsonLines(io.BytesIO(lines({"id": "a", "text": "A."}, b"?"))):
                assert isinstance(item, Incoming)
                yield Incoming(item.source, item.load, item.key, tell)

        take(log, stream())
        assert told == [(["a"], 0), (["a"], 1)]

    def test_a_failure_is_not_confirmed_while_there_is_no_tenant(self, log: TenantLog) -> None:
        told: list[str] = []
        incoming = [
            Incoming(i.source, i.load, i.key, lambda: told.append("x"))
            for i in JsonLines(io.BytesIO(b"?\n"))
            if isinstance(i, Incoming)
        ]
        take_in(incoming, lambda: pytest.fail("a model was wanted"))
        assert told == []

    def test_many_failures_alone_are_kept_too(self, log: TenantLog) -> None:
        stream = io.BytesIO(b"".join(b"?%d\n" % n for n in range(1005)))
        intake = take_in(JsonLines(stream), lambda: DocumentChunker(log, FakeTokenizer(64)))
        assert intake.failures == len(log.failures.list()) == 1005
        assert len(intake.failed) == 1000

    def test_a_long_stream_takes_no_memory(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patch:
            without_flushing(patch.setattr)
            ledger = Ledger(f"sqlite:///{tmp_path / 'big.db'}")
        log = ledger.create_tenant("anna", "weights")
        process = psutil.Process()
        take_in(JsonLines(_Endless(5)), lambda: DocumentChunker(log, _Blunt()))  # warm
        before = peak = process.memory_info().rss

        def look(*_: object) -> None:
            nonlocal peak
            peak = max(peak, process.memory_info().rss)

        intake = take_in(JsonLines(_Endless(200)), lambda: DocumentChunker(log, _Blunt()), look)
        ledger.close()
        assert intake.new + intake.known == 200
        assert peak - before < 100 * 2**20


class _Endless(io.BytesIO):
    """So many lines of 1 MiB, made when they are read."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self._left = count

    def readline(self, size: int | None = -1, /) -> bytes:
        if not self._left:
            return b""
        self._left -= 1
        return lines({"text": f"{self._left:0500} ".replace("0", "o") * (2**20 // 501)})


class _Blunt:
    """A tokenizer that costs nothing: a thousand characters are a token."""

    chunk_tokens, header_tokens = 65536, 0

    def encode(self, text: str) -> list[int]:
        return [0] * (len(text) // 1000 + 1)

    def encode_with_offsets(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        offsets = [(at, min(at + 1000, len(text))) for at in range(0, len(text), 1000)]
        return [0] * len(offsets), offsets


class TestFollow:
    def follow(
        self,
        log: TenantLog,
        folder: Path,
        rounds: list[Callable[[], object]],
        monkeypatch: pytest.MonkeyPatch,
        *,
        sync: bool = False,
    ) -> IngestReport:
        """Does one thing after each look into the folder, then stops."""
        monkeypatch.setattr("mplus_ray.pipeline.sources.follow._POLL_SECONDS", 0)
        until = Until()
        todo = iter(rounds)

        def on_idle(_: IngestReport) -> None:
            next(todo, until.stop.set)()

        return take(log, Folder(folder, until, sync=sync), on_idle=on_idle)

    def test_a_file_is_taken_when_it_is_still(
        self, log: TenantLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = tmp_path / "in"
        folder.mkdir()
        file = folder / "a.txt"
        seen: list[list[str]] = []

        def look() -> None:
            seen.append(keys(log))

        def grow() -> None:
            with file.open("a") as out:
                out.write("More text. ")
            look()

        self.follow(log, folder, [grow, grow, grow, look, look], monkeypatch)
        assert seen == [[], [], [], [], [str(file)]]
        assert log.text(str(file)) == "More text. " * 3

    def test_changed_content_is_a_new_version(
        self, log: TenantLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = tmp_path / "in"
        folder.mkdir()
        file = folder / "a.txt"
        file.write_text("First.")
        still: Callable[[], object] = lambda: None  # noqa: E731
        rounds = [still, still, lambda: file.write_text("Second one."), still, still]
        intake = self.follow(log, folder, rounds, monkeypatch)
        assert intake.new == 2
        assert log.text(str(file)) == "Second one."
        assert len(log.forgets.pending()) == 1

    def test_a_touched_or_lost_or_broken_file_disturbs_nothing(
        self, log: TenantLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = tmp_path / "in"
        folder.mkdir()
        for name in ("a.txt", "b.txt"):
            (folder / name).write_text(f"This is {name}.")
        (folder / "c.pdf").write_bytes(b"broken")
        still: Callable[[], object] = lambda: None  # noqa: E731

        def disturb() -> None:
            os.utime(folder / "a.txt", (1, 1))
            (folder / "b.txt").unlink()

        rounds = [still, still, disturb, still, still]
        intake = self.follow(log, folder, rounds, monkeypatch)
        assert (intake.new, intake.known, intake.failures) == (2, 1, 1)

    def test_what_is_gone_is_forgotten_where_that_is_asked_for(
        self, log: TenantLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = tmp_path / "in"
        folder.mkdir()
        for name in ("a.txt", "b.txt", "c.csv"):
            (folder / name).write_text(f"text\nThis is {name}.\n")
        (tmp_path / "in-other.txt").write_text("Beside it.")
        take(log, open_sources([str(folder), str(tmp_path / "in-other.txt")]))
        (folder / "a.txt").unlink()
        still: Callable[[], object] = lambda: None  # noqa: E731

        def disturb() -> None:
            (folder / "b.txt").rename(folder / "d.txt")
            (folder / "c.csv").unlink()

        rounds = [still, still, disturb, still, still, still]
        intake = self.follow(log, folder, rounds, monkeypatch, sync=True)
        gone = [str(folder / name) for name in ("a.txt", "b.txt", "c.csv#1")]
        assert sorted(key for key, _ in intake.forgotten) == gone
        left = [document.key for document in log.documents() if document.forget is None]
        assert left == [str(tmp_path / "in-other.txt"), str(folder / "d.txt")]
        receipts = {request.receipt.id for request in log.forgets.list()}
        assert {receipt for _, receipt in intake.forgotten} == receipts

    def test_rows_that_are_gone_are_forgotten_too(
        self, log: TenantLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = tmp_path / "in"
        folder.mkdir()
        table, lines = folder / "a.csv", folder / "b.jsonl"
        table.write_text("id,text\nx,The owl is brown.\ny,The ferry leaves.\nz,Rain falls.\n")
        lines.write_text('{"text": "One."}\n{"text": "Two."}\n{"text": "Three."}\n')
        (folder / "a.csv#1.txt").write_text("A file with the name of a row.")
        still: Callable[[], object] = lambda: None  # noqa: E731

        def disturb() -> None:
            table.write_text("id,text\nz,Rain falls.\nx,The owl is brown.\n")
            lines.write_text('{"text": "One."}\n{"text": "Two."}\n{"text": 3}\n')

        rounds = [still, still, disturb, still, still, still]
        intake = self.follow(log, folder, rounds, monkeypatch, sync=True)
        assert [key for key, _ in intake.forgotten] == [f"{table}#y"]
        left = [document.key for document in log.documents() if document.forget is None]
        rest = [f"{folder / 'a.csv#1.txt'}", *(f"{lines}#{number}" for number in (1, 2, 3))]
        # The third line cannot be read today, so what it said is kept, and its failure noted.
        assert sorted(left) == sorted([f"{table}#x", f"{table}#z", *rest])
        assert [failure.source for failure in log.failures.list()] == [f"{lines}#3"]

    def test_a_table_that_breaks_off_has_nothing_forgotten(
        self, log: TenantLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = tmp_path / "in"
        folder.mkdir()
        table = folder / "a.csv"
        table.write_text("id,text\nx,The owl is brown.\ny,The ferry leaves.\n")
        still: Callable[[], object] = lambda: None  # noqa: E731

        def disturb() -> None:
            table.write_text("id,id\nx,The owl is brown.\n")

        intake = self.follow(
            log, folder, [still, still, disturb, still, still], monkeypatch, sync=True
        )
        assert intake.forgotten == []
        assert keys(log) == [f"{table}#x", f"{table}#y"]

    def test_a_folder_that_cannot_be_seen_has_nothing_forgotten(
        self, log: TenantLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = tmp_path / "in"
        folder.mkdir()
        (folder / "a.txt").write_text("This is a.")
        still: Callable[[], object] = lambda: None  # noqa: E731
        rounds = [still, still, lambda: folder.rename(tmp_path / "away"), still, still]
        intake = self.follow(log, folder, rounds, monkeypatch, sync=True)
        assert intake.forgotten == []
        assert keys(log) == [str(folder / "a.txt")]

    def test_it_ends_when_nothing_comes(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("mplus_ray.pipeline.sources.follow._POLL_SECONDS", 0)
        now = iter(range(100))
        folder = Folder(tmp_path, Until(idle=3), clock=lambda: float(next(now)))
        assert all(isinstance(item, Idle) for item in folder)


class TestBucket:
    def put(self, s3: tests.s3.S3, name: str, data: bytes) -> None:
        files, path = pafs.FileSystem.from_uri(s3.url(quote(name)))
        with files.open_output_stream(path) as stream:
            stream.write(data)

    def test_everything_below_a_prefix(self, log: TenantLog, s3: tests.s3.S3) -> None:
        for name, data in {
            "in/b.txt": b"The owl is brown.",
            "in/a b#1.txt": b"The raven is black.",
            "in/deep/faq.jsonl": lines({"text": "One."}, b"?"),
            "in/deep/t.csv": b"id,text\nx,The swan is white.\n",
            "in/picture.png": b"x",
            "inside.txt": b"Not below it.",
        }.items():
            self.put(s3, name, data)
        intake = take(log, open_sources([s3.url("in")]))
        root = f"s3://{tests.s3.BUCKET}/in"
        assert keys(log) == [
            f"{root}/a b#1.txt",
            f"{root}/b.txt",
            f"{root}/deep/faq.jsonl#1",
            f"{root}/deep/t.csv#x",
        ]
        assert intake.failures == 1
        self.put(s3, "in/deep/faq.jsonl", lines({"text": "One."}, {"text": "Two."}))
        assert take(log, read_again(log.failures.list())).new == 1
        assert log.failures.list() == []

    def test_one_object(self, log: TenantLog, s3: tests.s3.S3) -> None:
        self.put(s3, "one/a.md", b"# Ravens\n\nThey are black.")
        url = s3.url("one/a.md")
        assert take(log, open_sources([url])).new == 1
        assert log.documents()[0].source == url
        assert take(log, open_sources([url], key="mine")).new == 1
        assert keys(log)[1] == "mine"

    def test_a_broken_object_leaves_the_others(self, log: TenantLog, s3: tests.s3.S3) -> None:
        self.put(s3, "bad/a.parquet", b"PAR1x")
        self.put(s3, "bad/b.txt", b"Good.")
        intake = take(log, open_sources([s3.url("bad")]))
        assert (intake.new, intake.failures) == (1, 1)
        source = intake.failed[0].source
        self.put(s3, "bad/a.parquet", _parquet("Mended."))
        assert [f.source for f in log.failures.list()] == [source]
        assert take(log, read_again(log.failures.list())).new == 1

    def test_an_empty_prefix_is_named(self, log: TenantLog, s3: tests.s3.S3) -> None:
        with pytest.raises(InvalidInputError, match="has no document in it"):
            take(log, open_sources([s3.url("nothing")]))

    def test_nobody_answers(self, log: TenantLog, s3: tests.s3.S3) -> None:
        with pytest.raises(StorageError, match="cannot be reached"):
            take(log, open_sources([tests.s3.S3("127.0.0.1:9").url("x")]))


def _parquet(*texts: str) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table({"text": list(texts)}), buffer)
    return buffer.getvalue()


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


class TestArriving:
    """Lines of a pipe: together what has come together, and a lone one at once."""

    @pytest.fixture
    def pipe(self) -> Iterator[tuple[BinaryIO, int]]:
        reading, writing = os.pipe()
        with os.fdopen(reading, "rb") as stream:
            yield stream, writing
        with suppress(OSError):
            os.close(writing)

    def test_only_the_last_that_has_come_is_prompt(self, pipe: tuple[BinaryIO, int]) -> None:
        stream, writing = pipe
        items = (item for item in JsonLines(stream) if isinstance(item, Incoming))
        os.write(writing, lines({"text": "One."}, {"text": "Two."}, {"text": "Three."}))
        assert [next(items).prompt for _ in range(3)] == [False, False, True]
        os.write(writing, lines({"text": "Four."}))
        assert next(items).prompt

    def test_half_a_line_holds_nobody_up(self, pipe: tuple[BinaryIO, int]) -> None:
        stream, writing = pipe
        items = (item for item in JsonLines(stream) if isinstance(item, Incoming))
        os.write(writing, lines({"text": "One."}) + b'{"text": "Tw')
        assert next(items).prompt
        os.write(writing, b'o."}\n{"text": "Last."}')
        os.close(writing)
        assert [item.load().text for item in items] == ["Two.", "Last."]

    def test_lines_are_those_of_the_stream(self, pipe: tuple[BinaryIO, int]) -> None:
        stream, writing = pipe
        data = b"\n".join([b"a", b"", b"b" * 300_000, b"c"])
        writer = threading.Thread(target=_write_and_close, args=(writing, data))
        writer.start()
        arriving = Arriving(stream)
        found = []
        while line := arriving.readline(1000):
            found.append(line)
        writer.join()
        assert b"".join(found) == data
        assert [len(line) for line in found[:3]] == [2, 1, 1000]
        assert not arriving.ready

    def test_a_burst_shares_transactions(
        self, log: TenantLog, pipe: tuple[BinaryIO, int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stream, writing = pipe
        sizes: list[int] = []
        append = TenantLog.append_many

        def noting(self: TenantLog, entries: Sequence[Entry]) -> list[Outcome]:
            sizes.append(len(entries))
            return append(self, entries)

        monkeypatch.setattr(TenantLog, "append_many", noting)
        os.write(writing, lines(*({"text": f"Turn {n}."} for n in range(100))))
        os.close(writing)
        assert take(log, JsonLines(stream)).new == 100
        assert sizes == [64, 36]


def _write_and_close(descriptor: int, data: bytes) -> None:
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)


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


def test_lines_of_a_stream_are_counted_too(log: TenantLog) -> None:
    intake = take(log, JsonLines(io.BytesIO(b'{"text": "One."}\n{}\nno\n')))
    assert intake.refusals.text() == "2 left out: 2 lines (not as its format asks)"
