"""Documents into a tenant's log: cut, counted against the limits, durable, and made a job of."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

from mplus_ray.model.errors import DocumentError, QuotaError, RateLimitedError
from mplus_ray.pipeline.ingest.ingestor import GROUP_CHARACTERS, GROUP_DOCUMENTS, entry_of
from mplus_ray.pipeline.ledger.tenant_log import Accepted, Entry, TenantLog
from mplus_ray.pipeline.parsing.document import ParsedDocument
from mplus_ray.pipeline.parsing.document_id import id_of_name
from mplus_ray.pipeline.parsing.refusals import Refusal
from mplus_ray.services.api.deps import Deps
from mplus_ray.services.api.ingest.response import is_done, refreshed, report
from mplus_ray.services.api.ingest.result import IngestResult
from mplus_ray.services.api.ingest.uploads import Arrived
from mplus_ray.services.api.limits.rate_limits import Meter
from mplus_ray.services.api.problems.errors import NothingTakenInError
from mplus_ray.services.api.schemas.documents import TakenIn

_FAILURES = 1000  # with nothing taken in, after which the rest is not read
_SHORTEST_HOLD, _LONGEST_HOLD = 0.05, 300.0  # seconds that a stream waits for a limit
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 0.25  # seconds between looks while a client waits


class IngestService:
    """Takes documents in for tenants."""

    def __init__(self, deps: Deps, meter: Meter) -> None:
        self._deps = deps
        self._meter = meter

    async def take_in(self, log: TenantLog, arriving: AsyncIterator[Arrived]) -> TakenIn:
        """Accept all that can be; what cannot is listed and leaves the others alone.

        What the tenant has already counts for no limit. A stream that reaches a limit of a minute
        is read on as the limit allows; other requests end there, as every one does at a quota:
        what came before is taken in, and the rest is not read.

        Raises:
            NothingTakenInError: every document failed.
            RateLimitedError, QuotaError: the first one was too many already.
            AttributeQuotaError: so was every one, for its session, a tag or a field.
        """
        result = IngestResult()
        group: list[Arrived] = []
        characters = 0
        async for arrived in arriving:
            if result.new + len(group) >= self._deps.limits.lines:
                await self._accept_all(log, group, result)
                group = []
                self._end_full(result, arrived)
                break
            if result.refused >= _FAILURES and not result.documents and not group:
                reason = f"the first {_FAILURES:,} documents failed, so the rest was not read"
                result.end(DocumentError(reason), arrived.line)
                break
            kept_out = self._limit(log, arrived)
            if kept_out is not None:
                await self._accept_all(log, group, result)
                group = []
                if result.error is None:
                    result.refuse(arrived.source, kept_out, arrived.kind)
                    result.end(kept_out, arrived.line)
                break
            result.read += 1
            if isinstance(arrived.outcome, DocumentError):
                result.refuse(arrived.source, arrived.outcome, arrived.kind)
                continue
            group.append(arrived)
            characters += len(arrived.load().text)
            if len(group) >= GROUP_DOCUMENTS or characters >= GROUP_CHARACTERS:
                await self._accept_all(log, group, result)
                group, characters = [], 0
            if result.error is not None:
                break
        await self._accept_all(log, group, result)
        if not result.documents:
            limited = isinstance(result.error, RateLimitedError | QuotaError)
            if result.error is not None and limited:
                raise result.error
            if result.full is not None and result.kept_out == result.refused:
                raise result.full
            whole = result.error is None
            raise NothingTakenInError(result.failed, result.counted(), result.next_line, whole)
        return await asyncio.to_thread(report, log, result)

    async def wait(self, log: TenantLog, taken: TakenIn, seconds: float) -> tuple[TakenIn, bool]:
        """Give the documents time to be memorized.

        Returns what is known of them then, and whether all can be asked about.
        """
        deadline = time.monotonic() + seconds
        pause = _FIRST_PAUSE
        while not (done := await asyncio.to_thread(is_done, log, taken.job_id)):
            left = deadline - time.monotonic()
            if left <= 0:
                break
            await asyncio.sleep(min(pause, left))
            pause = min(2 * pause, _LONGEST_PAUSE)
        return await asyncio.to_thread(refreshed, log, taken, done), done

    def check(self, log: TenantLog, text: str) -> None:
        """Whether a document of this text would be let in now; for who has work to do before.

        Raises:
            RateLimitedError: it would not.
        """
        self._meter.check(log.tenant, 1, len(self._deps.tokenizer.encode(text)))

    def _limit(self, log: TenantLog, arrived: Arrived) -> RateLimitedError | None:
        """What keeps a file out before it is a document: the time of parsers, or the rate of
        documents, which a file that cannot be read takes up as well. It was work."""
        if isinstance(arrived.outcome, RateLimitedError):
            return arrived.outcome
        if isinstance(arrived.outcome, DocumentError) and arrived.line is None:
            try:
                self._meter.take(log.tenant, 1, 0)
            except RateLimitedError as error:
                return error
        return None

    def _end_full(self, result: IngestResult, arrived: Arrived) -> None:
        """Keep what is remembered of one request small, whatever it has."""
        if result.error is None:
            most = self._deps.limits.lines
            reason = f"{most:,} documents were taken in; send the rest with another request"
            result.end(DocumentError(reason), arrived.line)

    async def _accept_all(self, log: TenantLog, group: list[Arrived], result: IngestResult) -> None:
        """Make a group durable, of a stream as slowly as the tenant's limits ask for."""
        while group and result.error is None:
            group, error = await asyncio.to_thread(self._accept, log, group, result)
            if error is None:
                return
            streamed = isinstance(error, RateLimitedError) and group[0].line is not None
            hold = error.retry_after if isinstance(error, RateLimitedError) else 0.0
            if not streamed or hold > _LONGEST_HOLD:
                result.read -= len(group)
                result.end(error, group[0].line)
                return
            await asyncio.sleep(max(hold, _SHORTEST_HOLD))

    def _accept(
        self, log: TenantLog, group: list[Arrived], result: IngestResult
    ) -> tuple[list[Arrived], RateLimitedError | QuotaError | None]:
        """Cut a group, count it, and make it durable; in a thread, for it takes its time.

        Returns what a limit or a quota keeps out, and which.
        """
        known = log.find_known([_named(arrived) for arrived in group])
        done: dict[int, tuple[Accepted, int] | Exception] = {}
        ready: list[tuple[int, Entry, int]] = []
        end = len(group)
        error: RateLimitedError | QuotaError | None = None
        for place, arrived in enumerate(group):
            if (found := known[place]) is not None:
                done[place] = found
                continue
            try:
                entry = self._entry(arrived)
                tokens = sum(span.tokens for span in entry.spans)
                self._meter.take(log.tenant, 1, tokens)
            except RateLimitedError as limited:
                end, error = place, limited
                break
            except DocumentError as refused:
                done[place] = refused
            else:
                ready.append((place, entry, tokens))
        outcomes = log.append_many([entry for _, entry, _ in ready]) if ready else []
        for (place, _, tokens), outcome in zip(ready, outcomes, strict=False):
            if isinstance(outcome, QuotaError):
                end, error = place, outcome
            else:
                done[place] = (outcome, tokens) if isinstance(outcome, Accepted) else outcome
        for place, arrived in enumerate(group[:end]):
            if isinstance(became := done[place], tuple):
                result.accept(*became)
                if became[0].new:
                    result.refusals.include(arrived.load().left_out)
            else:
                result.refuse(arrived.source, became, arrived.kind)
        return group[end:], error

    def _entry(self, arrived: Arrived) -> Entry:
        document = arrived.load()
        most = self._deps.limits.text_characters
        if len(document.text) > most:
            raise DocumentError(
                f"{arrived.source} has {len(document.text):,} characters; {most:,} are allowed: "
                "split it",
                Refusal.TOO_LARGE,
            )
        return entry_of(document, arrived.source, arrived.key, self._deps.tokenizer)


def _named(arrived: Arrived) -> tuple[str, ParsedDocument]:
    return arrived.key or id_of_name(arrived.source), arrived.load()
