"""Files parsed by several processes: the outcome is that of one, whatever becomes of a process."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import pytest
from reportlab.pdfgen.canvas import Canvas

import tests.s3
from mplus_ray.model.errors import StorageError
from mplus_ray.pipeline.ingest.ingestor import DocumentChunker, IngestReport, take_in
from mplus_ray.pipeline.ingest.parallel_parsing import _PARSE_TRIES, _WINDOW, Parallel
from mplus_ray.pipeline.ledger.ledger import Ledger
from mplus_ray.pipeline.parsing.document import ParsedDocument
from mplus_ray.pipeline.sources import DocumentSource, Incoming, open_sources
from mplus_ray.pipeline.sources.files import FileSource, local_file
from mplus_ray.pipeline.sources.records import OneFile
from tests.integration.command import Command
from tests.integration.tiny import make_tiny_checkpoint
from tests.unit.fakes import FakeTokenizer
from tests.worlds import log_of

s3 = tests.s3.s3
WORKERS = 2
RECORDS = 200


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Documents of every kind, good and bad, with slow ones before quick ones."""
    folder = tmp_path_factory.mktemp("documents")
    for number in range(6):
        (folder / f"{number}-notes.txt").write_text(f"The note of day {number}.")
        (folder / f"{number}-page.html").write_text(
            f"<html><title>Page {number}</title><p>{'The owl is brown. ' * 9}{number}</html>"
        )
    canvas = Canvas(str(folder / "0-slow.pdf"))
    for page in range(20):
        canvas.drawString(72, 720, f"Page {page}: the raven is black.")
        canvas.showPage()
    canvas.save()
    (folder / "1-bad.txt").write_bytes(b"\xff")
    (folder / "2-bad.pdf").write_bytes(b"%PDF-1.4 and nothing more")
    (folder / "3-copy.txt").write_text("The note of day 3.")
    (folder / "3-empty.md").write_text(" ")
    rows = [json.dumps({"id": f"r{n}", "text": f"Record {n}."}) for n in range(RECORDS)]
    rows[7] = "no json"
    rows[9] = json.dumps({"id": "a\nb", "text": "An impossible id."})
    (folder / "4-many.jsonl").write_text("\n".join(rows))
    pq.write_table(pa.table({"text": ["One.", None, "Three."]}), folder / "5-many.parquet")
    (folder / "5-broken.parquet").write_bytes(b"PAR1 and then nothing")
    (folder / "6-last.csv").write_text("text\nThe swan is white.\n")
    return folder


def taken(path: Path, source: DocumentSource, **limits: Any) -> tuple[Any, Any, IngestReport]:
    """What a new ledger holds of a source."""
    ledger = Ledger(f"sqlite:///{path}")
    log = ledger.create_tenant("anna", "weights", **limits)
    log.failures.add(str(path), "of earlier")
    intake = take_in(source, lambda: DocumentChunker(log, FakeTokenizer(16)), log=log)
    failures = [(failure.source, failure.reason) for failure in log.failures.list()]
    held = log_of(log)
    ledger.close()
    return held, failures, replace(intake, full=None)


@pytest.mark.usefixtures("local_ray")
@pytest.mark.parametrize("limits", [{}, {"max_documents": 9}])
def test_the_outcome_is_that_of_one_process(
    folder: Path, tmp_path: Path, limits: dict[str, int]
) -> None:
    source = open_sources([str(folder)])
    alone = taken(tmp_path / "alone.db", source, **limits)
    (tmp_path / "alone.db").rename(tmp_path / "first.db")
    together = taken(tmp_path / "alone.db", Parallel(source, WORKERS), **limits)
    assert together == alone
    intake = alone[2]
    if limits:
        assert intake.new == 9
    else:
        assert intake.new == 12 + 1 + 1 + RECORDS - 2 + 2 + 1
        assert intake.failures == 3 + 2 + 1 + 1
        assert intake.duplicates


@dataclass(frozen=True)
class Dying(FileSource):
    """Files, of which those of a name kill who parses them, so many times."""

    name: str = "1-page.html"
    times: int = 10**9
    notes: Path = Path()

    def files(self) -> Iterator[OneFile]:
        for file in super().files():
            yield self._dying(file) if file.name.endswith(self.name) else file

    def _dying(self, file: OneFile) -> OneFile:
        def load() -> ParsedDocument:
            with self.notes.open("a") as notes:
                notes.write("x")
            if self.notes.stat().st_size <= self.times:
                os.kill(os.getpid(), signal.SIGKILL)
            return file.load()

        return replace(file, load=load)


@pytest.mark.usefixtures("local_ray")
def test_a_document_that_nobody_survives_is_left_out(folder: Path, tmp_path: Path) -> None:
    files = open_sources([str(folder)])
    assert isinstance(files, FileSource)
    alone = taken(tmp_path / "alone.db", files)
    deadly = Dying(files.paths, notes=tmp_path / "notes")
    held, failures, intake = taken(tmp_path / "together.db", Parallel(deadly, WORKERS))
    assert (tmp_path / "notes").stat().st_size == _PARSE_TRIES
    (reason,) = [reason for source, reason in failures if source.endswith("1-page.html")]
    assert f"the process that parsed it died, {_PARSE_TRIES} times" in reason
    assert intake.failures == alone[2].failures + 1
    keys = [document[0] for document in alone[0][0]]
    assert [document[0] for document in held[0]] == [
        key for key in keys if not key.endswith("1-page.html")
    ]


@pytest.mark.usefixtures("local_ray")
def test_a_process_that_dies_once_is_replaced(folder: Path, tmp_path: Path) -> None:
    files = open_sources([str(folder)])
    assert isinstance(files, FileSource)
    alone = taken(tmp_path / "ledger.db", files)
    (tmp_path / "ledger.db").unlink()
    deadly = Dying(files.paths, times=1, notes=tmp_path / "notes")
    assert taken(tmp_path / "ledger.db", Parallel(deadly, WORKERS)) == alone
    assert (tmp_path / "notes").stat().st_size == 2


@dataclass(frozen=True)
class Refusing(FileSource):
    """Files in a storage that does not answer."""

    def files(self) -> Iterator[OneFile]:
        def load() -> ParsedDocument:
            raise StorageError("nothing answers")

        return (replace(file, load=load) for file in super().files())


@pytest.mark.usefixtures("local_ray")
def test_an_error_that_is_no_documents_ends_it_as_ever(folder: Path) -> None:
    paths = sorted(folder.glob("*.txt"))
    with pytest.raises(StorageError, match="nothing answers"):
        list(Parallel(Refusing(paths), WORKERS))


@dataclass(frozen=True)
class Counted(FileSource):
    """Files that note how many of them were asked for."""

    notes: Path = Path()

    def files(self) -> Iterator[OneFile]:
        for path in self.paths:
            with self.notes.open("a") as notes:
                notes.write("x")
            yield local_file(path)


@pytest.mark.usefixtures("local_ray")
def test_no_more_is_read_than_the_window_holds(folder: Path, tmp_path: Path) -> None:
    paths = [folder / "0-notes.txt"] * 100
    items = iter(Parallel(Counted(paths, notes=tmp_path / "notes"), WORKERS))
    first = next(items)
    assert isinstance(first, Incoming)
    assert (tmp_path / "notes").stat().st_size == _WINDOW * WORKERS + 1
    items.close()  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_checkpoint(tmp_path_factory.mktemp("checkpoints") / "tiny")


class TestCommand:
    @pytest.mark.parametrize("where", ["files", "bucket"])
    def test_the_memory_is_the_same(
        self, where: str, folder: Path, checkpoint: Path, tmp_path: Path, s3: tests.s3.S3
    ) -> None:
        source: str | Path = folder
        if where == "bucket":
            source = s3.url("bulk")
            files, root = pafs.FileSystem.from_uri(source)
            pafs.copy_files(
                str(folder),
                root,
                source_filesystem=pafs.LocalFileSystem(),
                destination_filesystem=files,
            )
        results, digests = [], []
        for name, more in (("alone", ()), ("together", ("--parse-workers", "2"))):
            mplus = Command(tmp_path / name, checkpoint)
            done = mplus("ingest", "-t", "anna", source, *more, "--json", "-")
            assert done.code == 2, done.err
            assert "documents were left out" in done.err
            result = done.json
            del result["seconds"]
            results.append(result)
            digests.append(mplus.memory())
        assert results[0] == results[1]
        assert digests[0] == digests[1]
        assert results[0]["tokens"] == results[0]["accepted"]["tokens"] > 0
        assert results[0]["waiting"] == 0

    def test_a_stream_is_refused(self, folder: Path, checkpoint: Path, tmp_path: Path) -> None:
        mplus = Command(tmp_path, checkpoint)
        done = mplus("ingest", "-t", "anna", "-", "--parse-workers", "auto")
        assert (done.code, "for files and buckets" in done.err) == (2, True)

    def test_an_interrupt_ends_all_of_it(
        self, folder: Path, checkpoint: Path, tmp_path: Path
    ) -> None:
        for number in range(2000):
            (tmp_path / f"{number}.md").write_text(f"# Day {number}\n\nThe owl is brown.")
        mplus = Command(tmp_path / "data", checkpoint)
        options = "--parse-workers", "2", "--no-wait"
        process = mplus.start("ingest", "-t", "anna", tmp_path, *options)
        while not documents_in(mplus.data / "ledger.db"):
            assert process.poll() is None, process.communicate()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 130, err
        said = " ".join(err.split())
        assert said.startswith("stopped: anna: ")
        assert "the same command goes on from here" in said
        kept = documents_in(mplus.data / "ledger.db")
        assert kept < 2000
        result = mplus("ingest", "-t", "anna", tmp_path, "--no-wait", "--json", "-").json
        assert (result["known"], result["documents"]) == (kept, 2000 - kept)


def documents_in(path: Path) -> int:
    """Documents in a ledger that another process may be making."""
    if not path.exists():
        return 0
    with closing(sqlite3.connect(path)) as connection:
        try:
            return int(connection.execute("select count(*) from documents").fetchone()[0])
        except sqlite3.OperationalError:
            return 0
