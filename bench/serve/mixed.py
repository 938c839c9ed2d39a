"""Questions and documents at the same time for as long as is wanted, and what memory that takes.

The service runs with budgets for half of the tenants' memories, so what readers hold is at its
bound from the beginning, and what grows is something else. Tenants come and go, so that memories
do not grow for as long as this runs.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

from mplus_ray.actors.plans import ReadPlan
from mplus_ray.actors.reading.footprint import Footprint
from mplus_ray.bench.serve.client import Client, at_work
from mplus_ray.bench.serve.processes import ResidentBytes, memory_of
from mplus_ray.bench.serve.samples import Load, ServeBenchError, TimedQuestion, growth
from mplus_ray.bench.serve.server import ServerFolder
from mplus_ray.bench.serve.world import BenchTenant, Founder, ask_about
from mplus_ray.model import MPlus

_ASKING, _FEEDING = 6, 2  # clients
CHARACTERS = 1_500  # of a document
LIFE = 40  # documents that a tenant is given before it is deleted and another takes its place
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
    client: Client,
    place: ServerFolder,
    founder: Founder,
    members: Sequence[BenchTenant],
    characters: int,
    minutes: float,
) -> dict[str, Any]:
    """Clients that ask, and others that hand documents in and wait for them.

    Args:
        characters: of what a new tenant is told.
    """
    first = founder.texts.document("mixed", CHARACTERS).text
    await client.hand_in(members[0].key, first, _LOADED_SECONDS)  # a writer has its model then
    run = _Run(client, founder, list(members), characters)
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
    founder: Founder
    members: list[BenchTenant]
    characters: int
    over: bool = False
    fed: Counter[str] = field(default_factory=Counter)
    using: Counter[str] = field(default_factory=Counter)  # requests under way, by tenant
    replaced: int = 0
    samples: list[TimedQuestion] = field(default_factory=list)
    documents: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    memory: list[ResidentBytes] = field(default_factory=list)

    async def ask(self, number: int) -> None:
        rng = Random(number)
        while not self.over:
            with self._any_member(rng) as member:
                asking = rng.choice(ask_about([member], len(member.facts)))
                sample = await self.client.ask(asking)
            self.samples.append(sample)
            if sample.error:
                await asyncio.sleep(0.5)

    async def feed(self, number: int) -> None:
        rng, made = Random(number), 0
        while not self.over:
            made += 1
            text = self.founder.texts.document(f"mixed/{number}/{made}", CHARACTERS).text
            try:
                with self._any_member(rng) as member:
                    await self.client.hand_in(member.key, text, _WAIT_SECONDS)
                self.documents += 1
                self.fed[member.name] += 1
                if self.fed[member.name] == LIFE:
                    await self._replace(member)
            except ServeBenchError as error:
                self.refused[str(error)] += 1
                await asyncio.sleep(0.5)

    @contextmanager
    def _any_member(self, rng: Random) -> Iterator[BenchTenant]:
        member = rng.choice(self.members)
        self.using[member.name] += 1
        try:
            yield member
        finally:
            self.using[member.name] -= 1

    async def _replace(self, member: BenchTenant) -> None:
        """Found another tenant, and delete this one once nobody asks it any more."""
        self.replaced += 1
        names = [f"mixed-{self.replaced}"]
        self.members += await asyncio.to_thread(self.founder.found, names, self.characters)
        self.members.remove(member)
        while self.using[member.name]:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        await asyncio.to_thread(self.founder.end, member.name)

    async def watch(self, place: ServerFolder, seconds: float) -> None:
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
            "tenants_replaced": self.replaced,
            "errors": sum(errors.values()),
            "memory_growth": growth([one.total for one in self.memory]),
            "own_memory_growth": growth([one.own for one in self.memory]),
            "memory_mb": max(one.total for one in self.memory) / _MB,
            "first_third_mb": _by_role(self.memory[:third]),
            "last_third_mb": _by_role(self.memory[-third:]),
            "first_token_ms": load.first_token_ms(),
            "error_kinds": dict(errors),
        }


def _by_role(samples: Sequence[ResidentBytes]) -> dict[str, float]:
    """Means over those who were there."""
    roles = sorted({role for one in samples for role in one.by_role})
    return {r: sum(one.by_role.get(r, 0) for one in samples) / len(samples) / _MB for r in roles}
