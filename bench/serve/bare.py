"""The reader alone, in this process: the same questions without Ray, HTTP or a ledger's query."""

from __future__ import annotations

import queue
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from mplus_ray.actors.messages import AskRequest, AskResult, TextDelta, Turn
from mplus_ray.actors.plans import ReadPlan
from mplus_ray.actors.reading.budget import default_device_bytes, default_host_bytes
from mplus_ray.actors.reading.engine import Answering
from mplus_ray.actors.reading.request import Event
from mplus_ray.bench.serve.client import Asking
from mplus_ray.bench.serve.samples import Load, ServeBenchError, TimedQuestion
from mplus_ray.pipeline.reading.read_plans import read_plan
from mplus_ray.services.embedded import Embedded

_SECONDS = 150.0
_CITATIONS = 5


class Bare:
    """Questions straight to `Answering`.

    Args:
        plans: of the tenants that are asked, as of now, by their names.
    """

    def __init__(self, answering: Answering, plans: dict[str, ReadPlan]) -> None:
        self._answering = answering
        self._plans = plans

    def drive(self, askings: Sequence[Asking], concurrency: int) -> Load:
        """All of them, so many at a time.

        Raises:
            ServeBenchError: no answer comes any more.
        """
        waiting = iter(askings)
        done: queue.SimpleQueue[TimedQuestion] = queue.SimpleQueue()
        samples: list[TimedQuestion] = []
        began = time.perf_counter()
        under_way = sum(self._begin(waiting, done) for _ in range(concurrency))
        while under_way:
            try:
                samples.append(done.get(timeout=_SECONDS))
            except queue.Empty:
                raise ServeBenchError(
                    f"the bare reader gave no answer for {_SECONDS:.0f} s"
                ) from None
            under_way += self._begin(waiting, done) - 1
        return Load(samples, time.perf_counter() - began)

    def _begin(self, waiting: Iterator[Asking], done: queue.SimpleQueue[TimedQuestion]) -> int:
        """Ask the next question; returns how many that were, 0 at the end."""
        asking = next(waiting, None)
        if asking is None:
            return 0
        turns = (Turn("user", asking.question),)
        asked = AskRequest(self._plans[asking.tenant], turns, asking.options, _CITATIONS)
        pieces: list[float] = []
        began = time.perf_counter()

        def deliver(event: Event) -> None:
            now = time.perf_counter()
            if isinstance(event, TextDelta):
                pieces.append(now)
                return
            first, last = (pieces[0], pieces[-1]) if pieces else (None, None)
            if isinstance(event, AskResult):
                tokens = event.answer.usage.completion_tokens
                done.put(TimedQuestion(began, now, first, last, tokens))
            else:
                done.put(TimedQuestion(began, now, first, last, error=str(event)))

        self._answering.ask(asked, deliver)
        return 1


@contextmanager
def bare_reader(system: Embedded, tenants: Sequence[str]) -> Iterator[Bare]:
    """One with the budgets that a reader has by default."""
    answering = Answering(
        system.model,
        system.files,
        device_bytes=default_device_bytes(system.model),
        host_bytes=default_host_bytes(),
    )
    try:
        yield Bare(answering, plans_of(system, tenants))
    finally:
        answering.stop()


def plans_of(system: Embedded, tenants: Sequence[str]) -> dict[str, ReadPlan]:
    """What a reader is told of these tenants now, by their names."""
    logs = [system.ledger.tenant(name) for name in tenants]
    return {log.tenant.name: read_plan(log, log.heads.serving()) for log in logs}
