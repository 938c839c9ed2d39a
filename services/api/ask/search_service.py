"""A search of a tenant's memory: a plan from the ledger, steps from a reader, their passages."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC

from mplus_ray.actors.messages import SearchRequest, Turn
from mplus_ray.model.errors import DamagedFileError
from mplus_ray.pipeline.ledger.filters.filter import Filter
from mplus_ray.pipeline.ledger.heads.replaced import attempts, check_damage
from mplus_ray.pipeline.ledger.tenant_log import TenantLog
from mplus_ray.pipeline.reading.search import SearchReply, to_reply
from mplus_ray.services.api.ask.service import Answers
from mplus_ray.services.api.deps import Deps
from mplus_ray.services.api.limits.rate_limits import Meter
from mplus_ray.services.api.problems.errors import DeadlineError
from mplus_ray.services.moments import step_of


@dataclass(frozen=True)
class SearchQuery:
    """What is searched for, in which moment of the memory.

    Attributes:
        text: in plain words, as a question is asked.
        limit: so many passages at most.
        min_score: passages with a lower score are left out; None for none.
        min_step: wait for a memory of at least so many steps.
        as_of: a step or a time; None for now.
        snapshot: the name of one; None for none.
        wanted: the documents that are searched; None for all.
    """

    text: str
    limit: int = 10
    min_score: float | None = None
    min_step: int | None = None
    as_of: int | str | None = None
    snapshot: str | None = None
    wanted: Filter | None = None


class Searches:
    """Searches what tenants remember; it shares plans, limits and repairs with questions."""

    def __init__(self, deps: Deps, meter: Meter, answers: Answers) -> None:
        self._deps = deps
        self._meter = meter
        self._answers = answers

    async def search(self, log: TenantLog, query: SearchQuery) -> SearchReply:
        """What a tenant's memory has on a query.

        Raises:
            MPlusError: also RateLimitedError, NotYetError, OverloadedError and DeadlineError.
        """
        self._answers.check((Turn("user", query.text),), 1)
        seconds = self._deps.limits.answer_seconds
        with self._meter.question(log.tenant):
            try:
                async with asyncio.timeout(seconds):
                    return await self._search(log, query)
            except TimeoutError:
                raise DeadlineError(
                    f"nothing was found in {seconds:g} s; search again later", 5.0
                ) from None
            except DamagedFileError as error:
                await self._answers.repair(log, error)
                raise

    async def _search(self, log: TenantLog, query: SearchQuery) -> SearchReply:
        as_of = None
        if query.as_of is not None or query.snapshot is not None:
            as_of = await asyncio.to_thread(step_of, log, query.as_of, query.snapshot, UTC)
        for attempt in attempts():
            with attempt:
                plan = await self._answers.plan(log, query.min_step, as_of, query.wanted)
                try:
                    result = await self._deps.readers.search(
                        SearchRequest(plan, query.text, query.limit)
                    )
                except DamagedFileError as error:
                    check_damage(error, await self._answers.plan(log, query.min_step, as_of))
                    raise
                return await asyncio.to_thread(
                    to_reply, log, plan, result, query.text, query.min_score
                )
        raise AssertionError("the last attempt returns or raises")
