"""Questions and documents at the same time for as long as is wanted, and what memory that takes.

The service runs with budgets for half of the tenants' memories, so what readers hold is at its
bound from the beginning, and what grows is something else.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from actors.footprint import Footprint
from actors.plans import ReadPlan
from bench.ingest.texts import Texts
from bench.serve.client import Client, at_work
from bench.serve.processes import Memory, memory_of
from bench.serve.samples import Load, Sample, ServeBenchError, growth
from bench.serve.server import Place
from bench.serve.world import Member, ask_about
from model import MPlus

_ASKING, _FEEDING = 6, 2  # clients
_CHARACTERS = 1_500  # of a document
_WAIT_SECONDS = 60.0  # for a document to be memorized, so that no backlog piles up
_LOADED_SECONDS = 120.0
_SAMPLES = 120  # of memory, in all
_WARM_UP = 0.1  # of the time, in which nothing is measured
_MB = 1 << 20


def half_of(model: MPlus, plans: Sequence[ReadPlan]) -> tuple[int, int]:
    """Bytes (device, host) for half of these memories, or for two of them if that is more."""
    footprint = Footprint(model)
    each = [footprint.rows(plan) + footprint.view(plan) for plan in plans]
    question = footprint.question(512, 128).device
    most = max(each, key=lambda one: one.host)
    devices, hosts = sum(one.device for one in each) // 2, sum(one.host for one in each) // 2
    return max(devices, 2 * most.device) + 32 * question, max(hosts, 2 * most.host)


async def measure_mixed(
    client: Client, place: Place, members: Sequence[Member], texts: Texts, minutes: float
) -> dict[str, Any]:
    """Clients that ask, and others that hand documents in and wait for them."""
    first = texts.document("mixed", _CHARACTERS).text
    await client.hand_in(members[0].key, first, _LOADED_SECONDS)  # a writer has its model then
    run = _Run(client, members, texts)
    seconds = 60 * minutes
    asking = [run.ask(number) for number in range(_ASKING)]
    feeding = [run.feed(number) for number in range(_FEEDING)]
    async with at_work(*asking, *feeding):
        await asyncio.sleep(_WARM_UP * seconds)
        await run.watch(place, (1 - _WARM_UP) * seconds)
        run.over = True
    return {**run.figures(), "minutes": minutes}


@dataclass
class _Run:
    """A load, until it is over."""

    client: Client
    members: Sequence[Member]
    texts: Texts
    over: bool = False
    samples: list[Sample] = field(default_factory=list)
    documents: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    memory: list[Memory] = field(default_factory=list)

    async def ask(self, number: int) -> None:
        rng = Random(number)
        askings = ask_about(self.members, 8 * len(self.members))
        while not self.over:
            sample = await self.client.ask(rng.choice(askings))
            self.samples.append(sample)
            if sample.error:
                await asyncio.sleep(0.5)

    async def feed(self, number: int) -> None:
        rng, made = Random(number), 0
        while not self.over:
            made += 1
            text = self.texts.document(f"mixed/{number}/{made}", _CHARACTERS).text
            try:
                await self.client.hand_in(rng.choice(self.members).key, text, _WAIT_SECONDS)
                self.documents += 1
            except ServeBenchError as error:
                self.refused[str(error)] += 1
                await asyncio.sleep(0.5)

    async def watch(self, place: Place, seconds: float) -> None:
        """Look at the memory of everything that runs, at even intervals."""
        began = time.monotonic()
        for number in range(_SAMPLES):
            await asyncio.sleep(began + number * seconds / _SAMPLES - time.monotonic())
            self.memory.append(await asyncio.to_thread(lambda: memory_of(place.processes())))

    def figures(self) -> dict[str, Any]:
        load = Load(self.samples, 0.0)
        errors = Counter(load.errors) + self.refused
        third = len(self.memory) // 3
        return {
            "questions": len(load.answered),
            "documents": self.documents,
            "errors": sum(errors.values()),
            "memory_growth": growth([one.total for one in self.memory]),
            "own_memory_growth": growth([one.own for one in self.memory]),
            "memory_mb": max(one.total for one in self.memory) / _MB,
            "first_third_mb": _by_role(self.memory[:third]),
            "last_third_mb": _by_role(self.memory[-third:]),
            "first_token_ms": load.first_token_ms(),
            "error_kinds": dict(errors),
        }


def _by_role(samples: Sequence[Memory]) -> dict[str, float]:
    """Means, of whoever was there."""
    roles = sorted({role for one in samples for role in one.by_role})
    return {r: sum(one.by_role.get(r, 0) for one in samples) / len(samples) / _MB for r in roles}
