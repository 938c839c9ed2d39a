"""Reading one's writes: a document, and at once a question that has to see it."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import count
from typing import Any

from mplus_ray.bench.durable.appends import Percentiles
from mplus_ray.bench.ingest.texts import Texts
from mplus_ray.bench.serve.client import Asking, Client, at_work
from mplus_ray.bench.serve.samples import ServeBenchError
from mplus_ray.bench.serve.world import BenchTenant, Founder

_AT_ONCE = 8  # readers, each with a tenant of its own
_ROUND = 1_000  # reads after which the tenants are deleted, so that their memories stay small
_TOLD = 800  # characters that a tenant begins with
_FEEDING = 2  # clients whose documents go to the same tenants meanwhile
_CHARACTERS = 1_200
_WAIT_SECONDS = 60.0
_LEAST: dict[str, Any] = {"max_tokens": 1, "citations": 0}


async def measure_reads(
    client: Client, founder: Founder, reads: int, seconds: float
) -> dict[str, Any]:
    """Whether every answer came from a memory at least as new as the `min_step` asked for.

    Args:
        seconds: after which no more is asked, however few that were.
    """
    run = _Run(client, founder.texts, time.monotonic() + seconds)
    for first in range(0, reads, _ROUND):
        names = [f"reading-{first}-{number}" for number in range(_AT_ONCE)]
        members = await asyncio.to_thread(founder.found, names, _TOLD)
        await run.round(members, min(_ROUND, reads - first))
        for name in names:
            await asyncio.to_thread(founder.end, name)
        if run.is_late:
            break
    if not run.seconds:
        raise ServeBenchError(f"nothing could be read back: {next(iter(run.errors), 'no answer')}")
    return {
        "asked": run.asked,
        "honoured": run.honoured,
        "older": run.older,
        "errors": dict(run.errors),
        "written_to_answer_ms": asdict(Percentiles.of(run.seconds)),
        "other_documents": run.others,
    }


@dataclass
class _Run:
    """Clients that write and read.

    Attributes:
        honoured, older: answers from memories that were new enough, and that were not.
        seconds: from a document's acknowledgement to the end of the answer that has seen it.
        others: documents that were handed in meanwhile.
    """

    client: Client
    texts: Texts
    deadline: float
    asked: int = 0
    honoured: int = 0
    older: int = 0
    others: int = 0
    over: bool = False  # the round
    seconds: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)

    @property
    def is_late(self) -> bool:
        return time.monotonic() > self.deadline

    async def round(self, members: Sequence[BenchTenant], reads: int) -> None:
        """So many reads, fewer if it gets late."""
        turns, self.over = iter(range(reads)), False
        async with at_work(*(self._feed(members, number) for number in range(_FEEDING))):
            await asyncio.gather(*(self._read(member, turns) for member in members))
            self.over = True

    async def _read(self, member: BenchTenant, turns: Iterator[int]) -> None:
        for turn in turns:
            if self.is_late:
                return
            self.asked += 1
            try:
                fact = member.facts[turn % len(member.facts)]
                text = f"Note {turn} to {member.name}. {fact.statement}"
                step = await self.client.hand_in(member.key, text)
            except ServeBenchError as error:
                self.errors[str(error)] += 1
                continue
            options = {**_LEAST, "min_step": step}
            asking = Asking(member.name, member.key, fact.question, options)
            sample = await self.client.ask(asking)
            if sample.error:
                self.errors[sample.error] += 1
                continue
            self.seconds.append(sample.whole)
            self.honoured += sample.step >= step
            self.older += sample.step < step

    async def _feed(self, members: Sequence[BenchTenant], number: int) -> None:
        """Longer documents to all of them in turn, each waited for, until the round is over."""
        for turn in count():
            if self.over:
                return
            member = members[(number + turn * _FEEDING) % len(members)]
            text = self.texts.document(f"other/{number}/{turn}", _CHARACTERS).text
            try:
                await self.client.hand_in(member.key, text, _WAIT_SECONDS)
                self.others += 1
            except ServeBenchError as error:
                self.errors[str(error)] += 1
                await asyncio.sleep(0.5)
