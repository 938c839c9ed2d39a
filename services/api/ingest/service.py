"""Documents into a tenant's log: cut, counted against the limits, durable, and made a job of."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from urllib.parse import quote

from mplus_ray.model.errors import DocumentError, MPlusError, QuotaError, RateLimitedError
from mplus_ray.pipeline.ingest.ingestor import GROUP_CHARACTERS, GROUP_DOCUMENTS, entry_of
from mplus_ray.pipeline.ledger.documents.jobs import Job
from mplus_ray.pipeline.ledger.documents.jobs import Refused as RefusedSource
from mplus_ray.pipeline.ledger.tenant_log import Accepted, Entry, TenantLog
from mplus_ray.pipeline.parsing.document_id import id_of_name, storable
from mplus_ray.pipeline.parsing.refusals import Refusal, Refusals
from mplus_ray.services.api.deps import Deps
from mplus_ray.services.api.ingest.uploads import Arrived
from mplus_ray.services.api.limits.rate_limits import Meter
from mplus_ray.services.api.problems.errors import NothingTakenInError
from mplus_ray.services.api.schemas.documents import Taken, TakenIn
from mplus_ray.services.api.schemas.problems import FailedSource, Refused

_SHOWN = 1000  # characters of a failure's source and reason in a response
_LISTED = 1000  # documents that are listed in a response, and failures likewise
_SHORTEST_HOLD, _LONGEST_HOLD = 0.05, 300.0  # seconds that a stream waits for a limit
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 0.25  # seconds between looks while a client waits


@dataclass
class IngestResult:
    """What of a request is taken in so far.

    Of a long stream little more is kept than the internal id of each document.

    Attributes:
        listed: the first that were accepted, with their tokens.
        documents: internal ids of the new ones, at most as many as a request may bring, and of
            the first that were known.
        new, known, replaced: how many of them are that.
        min_step: the step after the last of them.
        failed: the first that were refused, with their reasons.
        refusals: all that was left out, parts of documents too, by kind and reason.
        read, refused: how many were looked at, and left out.
        next_line: of a stream that ended early, the first line that was not looked at.
        error: what ended it early.
    """

    listed: list[tuple[Accepted, int]] = field(default_factory=list)
    documents: list[str] = field(default_factory=list)
    new: int = 0
    known: int = 0
    replaced: int = 0
    min_step: int = 0
    failed: list[FailedSource] = field(default_factory=list)
    refusals: Refusals = field(default_factory=Refusals)
    read: int = 0
    refused: int = 0
    next_line: int | None = None
    error: MPlusError | None = None

    def end(self, error: MPlusError, line: int | None) -> None:
        """Nothing more of the request is looked at.

        Args:
            line: the first that was not, of a stream.
        """
        self.error = error
        self.next_line = line
        rest = "the rest" if line is None else f"line {line} and what follows"
        self.failed.append(FailedSource(source=rest, reason=_shown(str(error))))

    def accept(self, accepted: Accepted, tokens: int) -> None:
        """Count a document that is durable, and its tokens."""
        if accepted.new or len(self.documents) < _LISTED:
            self.documents.append(accepted.document)
        self.new += accepted.new
        self.known += not accepted.new
        self.replaced += accepted.replaced is not None
        self.min_step = max(self.min_step, accepted.first_step + accepted.chunks)
        if len(self.listed) < _LISTED:
            self.listed.append((accepted, tokens))

    def refuse(self, source: str, error: Exception, kind: str) -> None:
        """Count what is left out, and keep its reason while there is room."""
        self.refused += 1
        self.refusals.note(kind, error)
        if len(self.failed) < _LISTED:
            self.failed.append(FailedSource(source=_shown(source), reason=_shown(str(error))))


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
        """
        tray = IngestResult()
        group: list[Arrived] = []
        characters = 0
        async for arrived in arriving:
            if tray.new + len(group) >= self._deps.limits.lines:
                await self._accept_all(log, group, tray)
                group = []
                self._end_full(tray, arrived)
                break
            if tray.refused >= _SHOWN and not tray.documents and not group:
                reason = f"the first {_SHOWN:,} documents failed, so the rest was not read"
                tray.end(DocumentError(reason), arrived.line)
                break
            kept_out = self._limit(log, arrived)
            if kept_out is not None:
                await self._accept_all(log, group, tray)
                group = []
                if tray.error is None:
                    tray.refuse(arrived.source, kept_out, arrived.kind)
                    tray.end(kept_out, arrived.line)
                break
            tray.read += 1
            if isinstance(arrived.outcome, DocumentError):
                tray.refuse(arrived.source, arrived.outcome, arrived.kind)
                continue
            group.append(arrived)
            characters += len(arrived.load().text)
            if len(group) >= GROUP_DOCUMENTS or characters >= GROUP_CHARACTERS:
                await self._accept_all(log, group, tray)
                group, characters = [], 0
            if tray.error is not None:
                break
        await self._accept_all(log, group, tray)
        if not tray.documents:
            limited = isinstance(tray.error, RateLimitedError | QuotaError)
            if tray.error is not None and limited:
                raise tray.error
            whole = tray.error is None
            raise NothingTakenInError(tray.failed, _counted(tray), tray.next_line, whole)
        return await asyncio.to_thread(_report, log, tray)

    async def wait(self, log: TenantLog, taken: TakenIn, seconds: float) -> tuple[TakenIn, bool]:
        """Give the documents time to be memorized.

        Returns what is known of them then, and whether all can be asked about.
        """
        deadline = time.monotonic() + seconds
        pause = _FIRST_PAUSE
        while not (done := await asyncio.to_thread(_is_done, log, taken.job_id)):
            left = deadline - time.monotonic()
            if left <= 0:
                break
            await asyncio.sleep(min(pause, left))
            pause = min(2 * pause, _LONGEST_PAUSE)
        return await asyncio.to_thread(_refreshed, log, taken, done), done

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

    def _end_full(self, tray: IngestResult, arrived: Arrived) -> None:
        """Keep what is remembered of one request small, whatever it has."""
        if tray.error is None:
            most = self._deps.limits.lines
            reason = f"{most:,} documents were taken in; send the rest with another request"
            tray.end(DocumentError(reason), arrived.line)

    async def _accept_all(self, log: TenantLog, group: list[Arrived], tray: IngestResult) -> None:
        """Make a group durable, of a stream as slowly as the tenant's limits ask for."""
        while group and tray.error is None:
            group, error = await asyncio.to_thread(self._accept, log, group, tray)
            if error is None:
                return
            streamed = isinstance(error, RateLimitedError) and group[0].line is not None
            hold = error.retry_after if isinstance(error, RateLimitedError) else 0.0
            if not streamed or hold > _LONGEST_HOLD:
                tray.read -= len(group)
                tray.end(error, group[0].line)
                return
            await asyncio.sleep(max(hold, _SHORTEST_HOLD))

    def _accept(
        self, log: TenantLog, group: list[Arrived], tray: IngestResult
    ) -> tuple[list[Arrived], RateLimitedError | QuotaError | None]:
        """Cut a group, count it, and make it durable; in a thread, for it takes its time.

        Returns what a limit or a quota keeps out, and which.
        """
        known = log.find_known([_key_and_text(arrived) for arrived in group])
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
            if isinstance(result := done[place], tuple):
                tray.accept(*result)
                if result[0].new:
                    tray.refusals.include(arrived.load().left_out)
            else:
                tray.refuse(arrived.source, result, arrived.kind)
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


def _key_and_text(arrived: Arrived) -> tuple[str, str]:
    return arrived.key or id_of_name(arrived.source), arrived.load().text


def document_url(key: str) -> str:
    """Where a document is shown. The slashes of an id stay, unless its parts would lead a client
    elsewhere: older ledgers have such ids."""
    plain = all(part not in ("", ".", "..") for part in key.split("/"))
    return f"/v1/documents/{quote(key, safe='/' if plain else '')}"


def _shown(text: str) -> str:
    """As a response can hold it: not too long, and without half of a character."""
    clean = storable(text)
    return clean if len(clean) <= _SHOWN else f"{clean[:_SHOWN]}…"


def job_url(job_id: str) -> str:
    return f"/v1/jobs/{job_id}"


def _retry_after(error: MPlusError | None) -> float | None:
    return round(error.retry_after, 3) if isinstance(error, RateLimitedError) else None


def _counted(tray: IngestResult) -> list[Refused]:
    listed = tray.refusals.listed()[:_LISTED]
    return [Refused(kind=_shown(one.kind), reason=one.reason, count=one.count) for one in listed]


def _report(log: TenantLog, tray: IngestResult) -> TakenIn:
    """Note the job, and say what was taken in."""
    refused = [RefusedSource(one.source, one.reason) for one in tray.failed]
    job = log.jobs.create(tray.documents, refused)
    head = _head_step(log)
    documents = [_taken(accepted, tokens, head) for accepted, tokens in tray.listed]
    return TakenIn(
        id=documents[0].id,
        status_url=documents[0].url,
        job_id=job.id,
        job_url=job_url(job.id),
        min_step=tray.min_step,
        documents=documents,
        failed=tray.failed,
        read=tray.read,
        taken_in=tray.new,
        known=tray.known,
        replaced=tray.replaced,
        refused=tray.refused,
        refusals=_counted(tray),
        next_line=tray.next_line,
        complete=tray.error is None,
        retry_after=_retry_after(tray.error),
    )


def _taken(accepted: Accepted, tokens: int, head: int) -> Taken:
    end = accepted.first_step + accepted.chunks
    return Taken(
        id=accepted.key,
        url=document_url(accepted.key),
        state="memorized" if end <= head else "waiting",
        first_step=accepted.first_step + 1,
        end_step=end,
        tokens=tokens,
        known=not accepted.new,
        replaced=accepted.replaced is not None,
        like=accepted.alike.key if accepted.alike else None,
    )


def _refreshed(log: TenantLog, taken: TakenIn, done: bool) -> TakenIn:
    head = _head_step(log)
    documents = [
        one.model_copy(update={"state": "memorized"}) if done or one.end_step <= head else one
        for one in taken.documents
    ]
    return taken.model_copy(update={"documents": documents})


def _head_step(log: TenantLog) -> int:
    return log.length() - log.waiting()


def _is_done(log: TenantLog, job_id: str) -> bool:
    job: Job = log.jobs.get(job_id)
    return job.state in ("done", "failed")
