"""Standard input: records in order, one at a time, and told only when the ledger has them."""

from __future__ import annotations

import io
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import BinaryIO

import psutil
import pytest

from mplus_ray.pipeline.ingest.ingestor import DocumentChunker, take_in
from mplus_ray.pipeline.ledger.ledger import Ledger
from mplus_ray.pipeline.ledger.tenant_log import Entry, Outcome, TenantLog
from mplus_ray.pipeline.sources import (
    Incoming,
    Item,
    open_sources,
    read_again,
)
from mplus_ray.pipeline.sources.buffered_stream import Arriving
from mplus_ray.pipeline.sources.stdin import JsonLines
from tests.unit.fakes import FakeTokenizer
from tests.unit.pipeline.sources.taking import keys, lines, take
from tests.worlds import without_flushing


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


def test_lines_of_a_stream_are_counted_too(log: TenantLog) -> None:
    intake = take(log, JsonLines(io.BytesIO(b'{"text": "One."}\n{}\nno\n')))
    assert intake.refusals.text() == "2 left out: 2 lines (not as its format asks)"
