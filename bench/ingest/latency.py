"""From acknowledged to answerable: how long a message is in the log before it is in the memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from random import Random
from typing import Any

from mplus_ray.bench.durable.appends import Percentiles
from mplus_ray.bench.fixture import tenant
from mplus_ray.bench.ingest.running import BenchWorker, running
from mplus_ray.bench.ingest.texts import Texts, accept
from mplus_ray.bench.ingest.throughput import BATCH
from mplus_ray.pipeline.ledger.tenant_log import TenantLog
from mplus_ray.pipeline.parsing.document import ParsedDocument
from mplus_ray.pipeline.reading.read_plans import read_plan
from mplus_ray.pipeline.workers.worker import Worker
from mplus_ray.services.embedded import Embedded

_POLL_SECONDS = 0.001
_BUSY_TENANTS = 8
_BACKLOG_STEPS = 256  # that each of them has waiting, at least
_CHARACTERS = 12_000  # of a document of theirs
_INTERVAL_SECONDS = 1.0  # between the messages of the one that has no backlog
_PAUSE_SECONDS = 0.5  # at most, between those to an idle worker


def measure_idle(system: Embedded, turns: Sequence[str]) -> dict[str, Any]:
    """One message after another to a worker that has nothing else to do.

    Each comes at a random moment after the last one was answerable.
    """
    log = tenant(system, "idle")
    delays, readable = [], []
    rng = Random(0)
    with running(Worker(system.engine, slots=BATCH)) as worker:
        for number, turn in enumerate(turns):
            end = _send(system, log, turn, number)
            sent = time.perf_counter()
            while log.heads.serving().head.step < end:
                worker.check()
                time.sleep(_POLL_SECONDS)
            answerable = time.perf_counter()
            if system.reader.open(read_plan(log, log.heads.serving())) < end:
                raise RuntimeError(f"a reader does not see step {end}, which is committed")
            delays.append(answerable - sent)
            readable.append(time.perf_counter() - answerable)
            time.sleep(_PAUSE_SECONDS * rng.random())
    return {
        "answerable_ms": asdict(Percentiles.of(delays)),
        "then_opened_by_a_reader_ms": asdict(Percentiles.of(readable)),
    }


@dataclass
class _Stream:
    """Messages of one tenant sent at fixed times, whether or not the last one is answerable."""

    system: Embedded
    log: TenantLog
    waiting: list[tuple[int, float]] = field(default_factory=list)  # (step, when acknowledged)
    delays: list[float] = field(default_factory=list)

    def send(self, turn: str, number: int) -> None:
        end = _send(self.system, self.log, turn, number)
        self.waiting.append((end, time.perf_counter()))

    def look(self) -> None:
        """Note which messages are answerable now."""
        step, now = self.log.heads.serving().head.step, time.perf_counter()
        self.delays += [now - sent for end, sent in self.waiting if end <= step]
        self.waiting = [(end, sent) for end, sent in self.waiting if end > step]


def measure_loaded(
    system: Embedded, texts: Texts, turns: Sequence[str], say: Callable[[str], None]
) -> dict[str, Any]:
    """A message a second of a ninth tenant while eight others always have a long backlog."""
    busy = _Busy(system, texts)
    stream = _Stream(system, tenant(system, "talker"))
    busy.top_up()
    lowest = busy.waiting()
    before = busy.memorized()
    with running(Worker(system.engine, slots=BATCH)) as worker:
        began = time.perf_counter()
        for number, turn in enumerate(turns):
            _until(began + number * _INTERVAL_SECONDS, worker, stream)
            stream.send(turn, number)
            lowest = min(lowest, busy.waiting())
            busy.top_up()
            if number % 20 == 0:
                say(f"message {number + 1} of {len(turns)}, {busy.waiting()} steps waiting")
        while stream.waiting:
            _until(time.perf_counter() + _POLL_SECONDS, worker, stream)
        seconds = time.perf_counter() - began
        memorized = busy.memorized() - before
    log = stream.log
    if system.reader.open(read_plan(log, log.heads.serving())) != log.length():
        raise RuntimeError("a reader does not see every message, though all are committed")
    return {
        "answerable_ms": asdict(Percentiles.of(stream.delays)),
        "tenants_with_backlog": _BUSY_TENANTS,
        "lowest_backlog_steps": lowest,
        "backlog_tokens_per_second": memorized / seconds,
        "seconds": seconds,
    }


class _Busy:
    """Tenants that are never done."""

    def __init__(self, system: Embedded, texts: Texts) -> None:
        self._system = system
        self._logs = [tenant(system, f"busy-{n}") for n in range(_BUSY_TENANTS)]
        self._documents = self._endless(texts)

    def top_up(self) -> None:
        """Accept documents until every one of them has enough waiting."""
        for log in self._logs:
            while log.length() - log.heads.serving().head.step < _BACKLOG_STEPS:
                _accept(self._system, log, next(self._documents))

    def waiting(self) -> int:
        """Steps that the one with the fewest lacks."""
        return min(log.length() - log.heads.serving().head.step for log in self._logs)

    def memorized(self) -> int:
        """Tokens of all of them."""
        return sum(log.tokens() - log.tokens(log.heads.serving().head.step) for log in self._logs)

    def _endless(self, texts: Texts) -> Iterator[ParsedDocument]:
        number = 0
        while True:
            yield texts.document(f"busy {number}", _CHARACTERS)
            number += 1


def _until(when: float, worker: BenchWorker, stream: _Stream) -> None:
    while True:
        stream.look()
        worker.check()
        left = when - time.perf_counter()
        if left <= 0:
            return
        time.sleep(min(_POLL_SECONDS, left))


def _send(system: Embedded, log: TenantLog, turn: str, number: int) -> int:
    """Accept a message; returns the step from which on it is answerable."""
    return _accept(system, log, ParsedDocument(f"message {number}", turn))


def _accept(system: Embedded, log: TenantLog, document: ParsedDocument) -> int:
    model = system.model
    accepted = accept(log, document, model.tokenizer)
    return accepted.first_step + accepted.chunks
