"""The reader is killed while questions are answered: who loses what, and for how long."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import Any

from mplus_ray.bench.serve.client import Asking, Client, at_work
from mplus_ray.bench.serve.samples import ServeBenchError, TimedQuestion, killed, seconds_until_back
from mplus_ray.bench.serve.server import Server
from mplus_ray.bench.serve.world import BenchTenant, ask_about, of_length

_CONCURRENCY = 8
_BETWEEN = 4 * _CONCURRENCY  # answers before a kill, and after the last one
_BACK_SECONDS = 120.0
_LOOK_SECONDS = 0.02
_SULK_SECONDS = 0.5  # after a failure, before the same client asks again


async def measure_killed(
    client: Client, server: Server, members: Sequence[BenchTenant], kills: int, tokens: int
) -> dict[str, Any]:
    """Eight clients that always ask, and SIGKILL for the reader, several times.

    Raises:
        ServeBenchError: answers do not come again.
    """
    load = _Endless(client, ask_about(members, 8 * len(members), of_length(tokens)))
    moments: list[float] = []
    async with at_work(*(load.ask() for _ in range(_CONCURRENCY))):
        for _ in range(kills):
            await _until(load.answers_since(len(load.samples)))
            reader = server.reader()
            moments.append(time.perf_counter())
            os.kill(reader.pid, signal.SIGKILL)
            await _until(load.back_since(moments[-1]))
        await _until(load.answers_since(len(load.samples)))
        load.over = True
    return killed(load.samples, moments)


class _Endless:
    """Clients that ask until it is over."""

    def __init__(self, client: Client, askings: Sequence[Asking]) -> None:
        self._client = client
        self._next = self._endless(askings)
        self.samples: list[TimedQuestion] = []
        self.over = False

    async def ask(self) -> None:
        while not self.over:
            sample = await self._client.ask(next(self._next))
            self.samples.append(sample)
            if sample.error:
                await asyncio.sleep(_SULK_SECONDS)

    def answers_since(self, number: int) -> Callable[[], bool]:
        """Whether enough were answered since so many samples were there."""
        return lambda: sum(not s.error for s in self.samples[number:]) >= _BETWEEN

    def back_since(self, moment: float) -> Callable[[], bool]:
        return lambda: seconds_until_back(self.samples, moment) is not None

    def _endless(self, askings: Sequence[Asking]) -> Iterator[Asking]:
        for number in count():
            yield askings[number % len(askings)]


async def _until(condition: Callable[[], bool]) -> None:
    deadline = time.perf_counter() + _BACK_SECONDS
    while not condition():
        if time.perf_counter() > deadline:
            raise ServeBenchError(f"no answers for {_BACK_SECONDS:.0f} s")
        await asyncio.sleep(_LOOK_SECONDS)
