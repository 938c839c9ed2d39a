"""What is taken in waits for the writers: the backlog and the memory stay bounded."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mplus_ray.pipeline.ingest.backpressure import Pressure
from mplus_ray.pipeline.ingest.ingestor import DocumentChunker, IngestReport, take_in
from mplus_ray.pipeline.ledger.ledger import Ledger
from mplus_ray.pipeline.ledger.tenant_log import TenantLog
from mplus_ray.pipeline.parsing.document import ParsedDocument
from mplus_ray.pipeline.sources import Idle, Incoming, Item
from tests.logs import Clock, memorize, put
from tests.unit.fakes import FakeTokenizer
from tests.worlds import without_flushing


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TenantLog]:
    without_flushing(monkeypatch.setattr)
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    yield ledger.create_tenant("anna", "weights")
    ledger.close()


class SlowWriter:
    """Memorizes a few steps whenever somebody waits for it; its clock runs meanwhile."""

    def __init__(self, log: TenantLog, steps: int, clock: Clock) -> None:
        self.pauses = 0
        self._log = log
        self._steps = steps
        self._clock = clock
        self._lease = log.heads.claim("writer", 1e9)

    def pause(self, seconds: float) -> bool:
        self.pauses += 1
        self._clock.now += seconds
        step = self._log.heads.serving().head.step
        memorize(self._log, self._lease, [min(step + self._steps, self._log.length())])
        return False


class Counting:
    """A log that says how often it was asked."""

    def __init__(self, waiting: int = 0) -> None:
        self.backlog = waiting
        self.looks = 0

    def waiting(self) -> int:
        self.looks += 1
        return self.backlog


def pressure_of(log: Counting, most: int, clock: Clock, **more: object) -> Pressure:
    return Pressure(log, most, clock=clock, **more)  # type: ignore[arg-type]


def test_the_backlog_stays_bounded_while_a_slow_writer_drains(log: TenantLog) -> None:
    clock = Clock()
    writer = SlowWriter(log, 3, clock)
    pressure = Pressure(log, 10, writer.pause, clock)
    seen = []
    for number in range(40):
        pressure.wait_for_room()
        pressure.add(put(log, f"d{number}", 2).chunks)
        seen.append(log.waiting())
    assert max(seen) <= 12, "ten, and the document that was let in last"
    assert writer.pauses > 10
    assert log.length() == 80, "nothing is lost"


def test_a_source_is_read_no_faster_than_that(log: TenantLog) -> None:
    """What was read and is not in the log stays within one group of documents."""
    clock = Clock()
    writer = SlowWriter(log, 1, clock)
    pressure = Pressure(log, 5, writer.pause, clock)
    read = 0
    ahead: list[int] = []

    def source() -> Iterator[Item]:
        nonlocal read
        for number in range(40):
            read += 1
            ahead.append(read - log.heads.serving().head.step)
            words = f"turn {number}"
            yield Incoming(f"c{number}", lambda words=words: ParsedDocument(words, words))  # type: ignore[misc]
            if number % 4 == 3:
                yield Idle()

    counted = 0

    def on_document(intake: IngestReport, name: str) -> None:
        nonlocal counted
        pressure.add(intake.chunks - counted)
        counted = intake.chunks
        pressure.wait_for_room()

    take_in(source(), lambda: DocumentChunker(log, FakeTokenizer(64)), on_document, log=log)
    assert log.length() == 40
    assert max(ahead) <= 5 + 4 + 1
    assert log.waiting() <= 5


def test_the_ledger_is_asked_only_when_it_may_be_too_much() -> None:
    log, clock = Counting(), Clock()
    pressure = pressure_of(log, 100, clock)
    for _ in range(90):
        pressure.wait_for_room()
        pressure.add(1)
    assert log.looks == 1
    for _ in range(20):
        pressure.wait_for_room()
        pressure.add(1)
    assert log.looks == 2, "101 may be too much, but writers were quick"
    clock.now += 60
    pressure.wait_for_room()
    assert log.looks == 3, "others may have added some"


def test_whoever_is_told_to_stop_does_not_wait() -> None:
    log, stop = Counting(waiting=11), threading.Event()
    pressure = pressure_of(log, 10, Clock(), pause=stop.wait)
    waits = []

    def on_wait() -> None:
        waits.append(pressure.waiting)
        stop.set()

    pressure.wait_for_room(on_wait)
    assert waits == [11]


def test_an_interrupt_ends_the_wait() -> None:
    def interrupted(seconds: float) -> bool:
        raise KeyboardInterrupt

    pressure = pressure_of(Counting(waiting=11), 10, Clock(), pause=interrupted)
    with pytest.raises(KeyboardInterrupt):
        pressure.wait_for_room()


def test_without_a_bound_nobody_is_asked() -> None:
    log = Counting(waiting=10**9)
    pressure_of(log, 0, Clock()).wait_for_room()
    assert log.looks == 0


def test_what_waits_is_what_the_memory_lacks(log: TenantLog) -> None:
    put(log, "a", 3)
    assert log.waiting() == 3
    memorize(log, log.heads.claim("w", 10), [2])
    assert log.waiting() == 1
