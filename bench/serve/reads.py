"""Reading one's writes: a document, and at once a question that has to see it."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import count
from typing import Any

from bench.durable.appends import Percentiles
from bench.ingest.texts import Texts
from bench.serve.client import Asking, Client, at_work
from bench.serve.samples import ServeBenchError
from bench.serve.world import Member

_AT_ONCE = 8
_FEEDING = 2  # clients whose documents go to the same tenants meanwhile
_CHARACTERS = 1_200
_WAIT_SECONDS = 60.0
_LEAST: dict[str, Any] = {"max_tokens": 1, "citations": 0}


async def measure_reads(
    client: Client, members: Sequence[Member], texts: Texts, reads: int, seconds: float
) -> dict[str, Any]:
    """Whether every answer came from a memory at least as new as the `min_step` asked for.

    Args:
        seconds: after which no more is asked, however few that were.
    """
    run = _Run(client, members, texts, reads, time.monotonic() + seconds)
    async with at_work(*(run.feed(number) for number in range(_FEEDING))):
        await asyncio.gather(*(run.read(number) for number in range(_AT_ONCE)))
        run.over = True
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
    members: Sequence[Member]
    texts: Texts
    reads: int
    deadline: float
    asked: int = 0
    honoured: int = 0
    older: int = 0
    others: int = 0
    over: bool = False
    seconds: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)

    async def read(self, number: int) -> None:
        member = self.members[number % len(self.members)]
        for turn in count():
            if self.asked >= self.reads or time.monotonic() > self.deadline:
                return
            self.asked += 1
            try:
                fact = member.facts[turn % len(member.facts)]
                text = f"Note {turn} of reader {number}. {fact.statement}"
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

    async def feed(self, number: int) -> None:
        """Longer documents to all of them in turn, each waited for."""
        for turn in count():
            if self.over:
                return
            member = self.members[(number + turn * _FEEDING) % len(self.members)]
            text = self.texts.document(f"other/{number}/{turn}", _CHARACTERS).text
            try:
                await self.client.hand_in(member.key, text, _WAIT_SECONDS)
                self.others += 1
            except ServeBenchError as error:
                self.errors[str(error)] += 1
                await asyncio.sleep(0.5)
