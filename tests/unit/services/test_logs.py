"""Logs are lines for programs or for people, and never hold what documents or questions say."""

from __future__ import annotations

import io
import json
import logging
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy.exc import OperationalError

import mplus_ray.pipeline.ledger.database
from mplus_ray.model import MPlus
from mplus_ray.model.errors import DocumentError, InvalidInputError, StorageError
from mplus_ray.pipeline.ingest.ingestor import DocumentChunker, take_in
from mplus_ray.pipeline.reading.ask import ask
from mplus_ray.pipeline.sources import open_sources
from mplus_ray.pipeline.workers.worker import Worker
from mplus_ray.pipeline.writing.observer import Batch, Commit, LoggingObserver, reason
from mplus_ray.services.logs import OURS, configure
from tests.worlds import World, load_model

CANARY = "zyzzyvasperiwinkle"
DEBUG = {"MPLUS_LOG": "json", "MPLUS_LOG_LEVEL": "debug"}

_log = logging.getLogger("mplus_ray.pipeline.somewhere")


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """What is logged from `configure` on; logging is left as it was found."""
    levels = {name: logging.getLogger(name).level for name in (None, *OURS)}
    stream = io.StringIO()
    handler = configure({}, stream)
    yield stream
    for each in [h for h in logging.getLogger().handlers if type(h) is type(handler)]:
        logging.getLogger().removeHandler(each)
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


class TestJson:
    def test_a_record_is_a_line_with_its_fields(self, stream: io.StringIO) -> None:
        configure({"MPLUS_LOG": "json"}, stream)
        fields = {"tenant": "t1", "document": "d1", "step": 7, "path": Path("/x"), "level": "no"}
        _log.info("took %d\nlines", 2, extra=fields)
        (line,) = lines(stream)
        assert line.pop("ts").endswith("+00:00")
        assert line == {
            "level": "info",
            "logger": "mplus_ray.pipeline.somewhere",
            "message": "took 2\nlines",
            "tenant": "t1",
            "document": "d1",
            "step": 7,
            "path": "/x",
        }

    def test_an_exception_is_its_kind_and_its_place(self, stream: io.StringIO) -> None:
        configure(DEBUG, stream)
        try:
            int(CANARY)
        except ValueError:
            _log.exception("no number")
        (line,) = lines(stream)
        assert (line["level"], line["error"], line["reason"]) == (
            "error",
            "ValueError",
            "ValueError",
        )
        assert [Path(frame.rpartition(":")[0]).name for frame in line["trace"]] == ["test_logs.py"]
        assert CANARY not in stream.getvalue()

    def test_the_default_level_is_info(self, stream: io.StringIO) -> None:
        configure({"MPLUS_LOG": "json"}, stream)
        _log.debug("no")
        _log.info("yes")
        assert [line["message"] for line in lines(stream)] == ["yes"]


class TestHuman:
    def test_the_message_then_the_fields(self, stream: io.StringIO) -> None:
        _log.info("no")
        _log.warning("lost", extra={"tenant": "t1", "after": 1.23456})
        assert stream.getvalue() == "lost tenant=t1 after=1.235\n"

    def test_an_exception_has_a_reason(self, stream: io.StringIO) -> None:
        try:
            raise StorageError("the disk is full")
        except StorageError:
            _log.warning("left alone", exc_info=True)
        first, frame = stream.getvalue().splitlines()
        assert first == "left alone (StorageError: the disk is full) "
        assert "in test_an_exception_has_a_reason" in frame


class TestConfigure:
    @pytest.mark.parametrize("name", ["MPLUS_LOG", "MPLUS_LOG_LEVEL"])
    def test_an_unknown_value_is_refused(self, name: str) -> None:
        with pytest.raises(InvalidInputError, match=f"{name} is 'loud'; give one of"):
            configure({name: "loud"})

    def test_again_it_replaces_itself(self, stream: io.StringIO) -> None:
        other = io.StringIO()
        configure({}, other)
        _log.warning("once")
        assert (stream.getvalue(), other.getvalue()) == ("", "once\n")

    def test_standard_error_is_the_one_of_the_moment(
        self, stream: io.StringIO, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        configure({})
        later = io.StringIO()
        monkeypatch.setattr(sys, "stderr", later)
        _log.warning("here")
        assert later.getvalue() == "here\n"

    @pytest.mark.usefixtures("stream")
    def test_a_line_that_cannot_be_written_ends_nothing(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        closed = io.StringIO()
        closed.close()
        configure({}, closed)
        _log.warning("lost")
        assert "I/O operation on closed file" in capsys.readouterr().err

    def test_others_stay_quiet(self, stream: io.StringIO) -> None:
        configure(DEBUG, stream)
        logging.getLogger("sqlalchemy.engine.Engine").info("INSERT %s", CANARY)
        logging.getLogger("botocore").debug(CANARY)
        assert stream.getvalue() == ""


class TestObserver:
    def test_each_event_has_its_level_and_fields(self, stream: io.StringIO) -> None:
        configure(DEBUG, stream)
        observer = LoggingObserver()
        observer.opened("t1", 2.0)
        observer.batched(Batch(tenants=3, room=8, tokens=99, waited=0.1, forward=0.2))
        observer.committed(Commit("t1", 12, 4, 80, seal=0.3, ledger=0.4, delays=(1.0, 2.0)))
        observer.lost("t1")
        observer.failed("t1", StorageError("the disk is full"), 5.0)
        observer.closed("t1")
        found = lines(stream)
        assert [(line["level"], line["message"]) for line in found] == [
            ("debug", "opened"),
            ("debug", "pass"),
            ("info", "committed"),
            ("warning", "lost to another writer"),
            ("warning", "left alone for a while"),
            ("debug", "closed"),
        ]
        assert found[2].items() >= {"tenant": "t1", "step": 12, "chunks": 4, "documents": 2}.items()
        assert found[4]["reason"] == "StorageError: the disk is full"
        assert all(line["tenant"] == "t1" for line in found if line["message"] != "pass")


class TestReason:
    def test_what_quotes_the_input_is_left_out(self) -> None:
        assert reason(DocumentError(CANARY)) == "DocumentError"
        assert reason(KeyError(CANARY)) == "KeyError"

    def test_a_database_quotes_statements_so_only_its_code_is_said(self) -> None:
        why = sqlite3.OperationalError(f"near {CANARY}")
        why.sqlite_errorname = "SQLITE_FULL"
        refused = OperationalError("INSERT INTO documents", {"text": CANARY}, why)
        assert CANARY in str(refused)
        said = reason(caused(StorageError(str(refused)), caused(refused, why)))
        assert said == "StorageError ← OperationalError ← OperationalError SQLITE_FULL"

    def test_the_system_is_quoted_without_the_path(self) -> None:
        with pytest.raises(OSError, match=CANARY) as raised:
            Path("/none", CANARY).read_text()
        assert reason(raised.value) == "FileNotFoundError: No such file or directory"

    def test_causes_follow(self) -> None:
        error = caused(StorageError("the store refused"), KeyError(CANARY))
        assert reason(error) == "StorageError: the store refused ← KeyError"


def caused(error: Exception, by: Exception) -> Exception:
    error.__cause__ = by
    return error


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> MPlus:
    return load_model(tmp_path_factory.mktemp("model") / "checkpoint")


@pytest.fixture
def world(model: MPlus, tmp_path: Path) -> Iterator[World]:
    world = World(model, f"sqlite:///{tmp_path / 'ledger.db'}", tmp_path / "rows")
    yield world
    world.close()


def damaged_files(folder: Path) -> list[str]:
    """Sources with the canary in them, none of which can be read."""
    contents = {
        "a.pdf": b"%PDF-1.7\n" + CANARY.encode() + b"\nxref\n0 1\ntrailer<<>>",
        "b.docx": b"PK\x03\x04" + CANARY.encode(),
        "c.html": f'<html><head><meta charset="{CANARY}"></head><p>{CANARY}</html>'.encode(),
        "d.jsonl": f'{{"text": "{CANARY}"\n'.encode(),
        "e.csv": f"text,text\n{CANARY},{CANARY}\n".encode(),
        "f.parquet": b"PAR1" + CANARY.encode() + b"PAR1",
        "g.txt": (CANARY * 100_000).encode(),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return [str(folder / name) for name in contents]


class TestCanary:
    """Everything at DEBUG, and a word that may appear in no line."""

    @pytest.fixture(autouse=True)
    def _log_all(self, stream: io.StringIO) -> None:
        configure(DEBUG, stream)

    def test_taking_in_memorizing_and_asking(
        self, world: World, stream: io.StringIO, tmp_path: Path
    ) -> None:
        (tmp_path / "a.txt").write_text(f"{CANARY} lives here. " * 4)
        tokenizer = world.model.tokenizer
        desk = DocumentChunker(world.tenant("anna"), tokenizer)
        take_in(open_sources([str(tmp_path / "a.txt")]), lambda: desk)
        assert Worker(world.engine, observer=LoggingObserver()).drain() > 0
        ask(desk.log, world.reader, f"Where is {CANARY}?", max_tokens=2)
        said = [line["message"] for line in lines(stream)]
        assert {"opened", "pass", "committed", "closed"} <= set(said)
        assert CANARY not in stream.getvalue()

    def test_a_failing_parse(self, world: World, stream: io.StringIO, tmp_path: Path) -> None:
        sources = damaged_files(tmp_path)
        desk = DocumentChunker(world.tenant("anna"), world.model.tokenizer)
        intake = take_in(open_sources(sources), lambda: desk)
        assert (intake.new, intake.failures) == (0, len(sources))
        for failure in intake.failed:
            LoggingObserver().failed("t1", DocumentError(failure.reason + CANARY), 1.0)
        assert len(lines(stream)) >= len(sources)
        assert CANARY not in stream.getvalue()

    def test_a_failing_ledger(
        self, world: World, stream: io.StringIO, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tenant = world.tenant("anna").tenant.name
        configured = mplus_ray.pipeline.ledger.database._configure_sqlite

        def without_room(engine: sqlalchemy.Engine) -> None:
            configured(engine)
            full = "PRAGMA max_page_count=1"  # as if the disk had no more
            sqlalchemy.event.listen(engine, "connect", lambda c, _: c.execute(full))

        monkeypatch.setattr(mplus_ray.pipeline.ledger.database, "_configure_sqlite", without_room)
        full = world.restarted()
        log = full.ledger.tenant(tenant)
        with pytest.raises(StorageError, match="full") as raised:
            full.accept(log, "a", f"{CANARY} " * 1_000)
        full.close()
        assert isinstance(raised.value.__cause__, OperationalError)
        _log.warning("not accepted", exc_info=raised.value)
        LoggingObserver().failed(log.tenant.id, raised.value, 5.0)
        said = "StorageError ← OperationalError ← OperationalError SQLITE_FULL"
        assert [line["reason"] for line in lines(stream)] == [said, said]
        assert CANARY not in stream.getvalue()

    def test_a_failing_store(self, world: World, stream: io.StringIO) -> None:
        log = world.tenant("anna")
        world.accept(log, "a", f"{CANARY} lives here.")
        world.folder.write_text("no folder")
        with pytest.raises(StorageError) as raised:
            Worker(world.engine, observer=LoggingObserver()).drain()
        _log.warning("no more", exc_info=raised.value)
        reasons = [line["reason"] for line in lines(stream) if "reason" in line]
        assert len(reasons) == 2
        assert all("Not a directory" in each for each in reasons)
        assert CANARY not in stream.getvalue()
