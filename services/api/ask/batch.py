"""Questions that come together: asked at the same time, so that a reader decodes them together.

Each counts as one of its tenant's questions under way, and fails alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass

from mplus_ray.model.errors import MPlusError, RateLimitedError
from mplus_ray.pipeline.ledger.tenant_log import TenantLog
from mplus_ray.services.api.ask.service import Answers, AskQuery, Reply
from mplus_ray.services.api.deps import Limits
from mplus_ray.services.api.limits.concurrency import Places
from mplus_ray.services.api.limits.rate_limits import Meter


@dataclass(frozen=True)
class Answered:
    """What became of one question.

    Attributes:
        index: its place among the others, from 0.
        outcome: the reply, or why there is none.
    """

    index: int
    outcome: Reply | MPlusError


class QuestionBatches:
    """Asks questions together; shares limits with those that come alone."""

    def __init__(self, limits: Limits, answers: Answers, meter: Meter, places: Places) -> None:
        self._limits = limits
        self._answers = answers
        self._meter = meter
        self._places = places

    async def stream(
        self, log: TenantLog, questions: Sequence[AskQuery]
    ) -> AsyncGenerator[Answered, None]:
        """What becomes of each, as soon as it is known. Closing this cancels the others.

        A quarter of the questions that the tenant may have under way is left to others of it; one
        that finds all of them taken waits, for as long as an answer may take.
        """
        places = asyncio.Semaphore(max(1, self._meter.rates(log.tenant).questions * 3 // 4))

        async def answered(index: int, question: AskQuery) -> Answered:
            async with places:
                try:
                    return Answered(index, await self._reply(log, question))
                except MPlusError as error:
                    return Answered(index, error)

        tasks = [asyncio.create_task(answered(*each)) for each in enumerate(questions)]
        try:
            for done in asyncio.as_completed(tasks):
                yield await done
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _reply(self, log: TenantLog, question: AskQuery) -> Reply:
        self._answers.check(question.turns, question.sampling["max_tokens"])
        loop = asyncio.get_running_loop()
        patience = loop.time() + self._limits.answer_seconds
        while True:
            try:
                with self._places.held("questions", log.tenant.family):
                    return await self._answers.reply(log, question)
            except RateLimitedError as error:
                if loop.time() + error.retry_after > patience:
                    raise
                await asyncio.sleep(error.retry_after)
