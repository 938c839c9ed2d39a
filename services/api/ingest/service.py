"""Documents into a tenant's log: cut, counted against the limits, durable, and made a job of."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from urllib.parse import quote

from mplus_ray.model.errors import DocumentError, MPlusError, QuotaError, RateLimitedError
from mplus_ray.pipeline.ingest.ingestor import GROUP_CHARACTERS, GROUP_DOCUMENTS, entry_of
from mplus_ray.pipeline.ledger.documents.append import storable
from mplus_ray.pipeline.ledger.documents.jobs import Job, Refused
from mplus_ray.pipeline.ledger.tenant_log import Accepted, Entry, TenantLog
from mplus_ray.pipeline.parsing.document import ParsedDocument
from mplus_ray.services.api.deps import Deps
from mplus_ray.services.api.errors import NothingTakenInError
from mplus_ray.services.api.ingest.uploads import Arrived
from mplus_ray.services.api.rate_limits import Meter
from mplus_ray.services.api.schemas.documents import Taken, TakenIn
from mplus_ray.services.api.schemas.problems import FailedSource

_SHOWN = 1000  # characters of a failure's source and reason in a response
_LISTED = 1000  # documents that are listed in a response, and failures that end a request
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 0.25  # seconds between looks while a client waits


@dataclass
class IngestResult:
    """What of a request is taken in so far.

    Attributes:
        failed: sources that were left out, and why.
    """

    accepted: list[tuple[Accepted, int]] = field(default_factory=list)  # with their tokens
    failed: list[FailedSource] = field(default_factory=list)
    error: MPlusError | None = None  # what ended it early

    def end(self, reason: str) -> None:
        """Nothing more of the request is looked at."""
        self.error = DocumentError(reason)
        self.refuse("the rest", self.error)

    def refuse(self, source: str, error: MPlusError) -> None:
        self.failed.append(FailedSource(source=_shown(source), reason=_shown(str(error))))


class IngestService:
    """Takes documents in for tenants."""

    def __init__(self, deps: Deps, meter: Meter) -> None:
        self._deps = deps
        self._meter = meter

    async def take_in(self, log: TenantLog, arriving: AsyncIterator[Arrived]) -> TakenIn:
        """Accept all that can be; what cannot is listed and leaves the others alone.

        A limit or a quota that is reached ends it: what came before is taken in, and the rest of
        the request is not read.

        Raises:
            NothingTakenInError: every document failed.
            RateLimitedError, QuotaError: the first one was too many already.
        """
        tray = IngestResult()
        group: list[Arrived] = []
        characters = 0
        async for arrived in arriving:
            if isinstance(arrived.outcome, DocumentError):
                tray.refuse(arrived.source, arrived.outcome)
            else:
                group.append(arrived)
                characters += len(arrived.outcome.text)
            if len(group) >= GROUP_DOCUMENTS or characters >= GROUP_CHARACTERS:
                await asyncio.to_thread(self._accept, log, group, tray)
                group, characters = [], 0
            self._end_in_time(tray, len(group))
            if tray.error is not None:
                break
        if group and not isinstance(tray.error, RateLimitedError | QuotaError):
            await asyncio.to_thread(self._accept, log, group, tray)
        if not tray.accepted:
            limited = isinstance(tray.error, RateLimitedError | QuotaError)
            raise tray.error if limited and tray.error else NothingTakenInError(tray.failed)
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

    def _end_in_time(self, tray: IngestResult, pending: int) -> None:
        """Keep what is remembered of one request small, whatever it has."""
        most = self._deps.limits.lines
        if len(tray.failed) >= _LISTED:
            tray.end(f"{_LISTED:,} documents failed, so the rest of the request was not read")
        elif len(tray.accepted) + pending >= most:
            tray.end(f"{most:,} documents were taken in; send the rest with another request")

    def _accept(self, log: TenantLog, group: list[Arrived], tray: IngestResult) -> None:
        """Cut a group, count it, and make it durable; in a thread, for it takes its time."""
        ready: list[tuple[Arrived, Entry, int]] = []
        for arrived in group:
            assert isinstance(arrived.outcome, ParsedDocument)
            try:
                entry = self._entry(arrived, arrived.outcome)
                tokens = sum(span.tokens for span in entry.spans)
                self._meter.take(log.tenant, 1, tokens)
            except RateLimitedError as error:
                tray.error = error
                tray.refuse(arrived.source, error)
                break
            except DocumentError as error:
                tray.refuse(arrived.source, error)
            else:
                ready.append((arrived, entry, tokens))
        outcomes = log.append_many([entry for _, entry, _ in ready]) if ready else []
        for (arrived, _, tokens), outcome in zip(ready, outcomes, strict=False):
            if isinstance(outcome, Accepted):
                tray.accepted.append((outcome, tokens))
            else:
                tray.refuse(arrived.source, outcome)
                if isinstance(outcome, QuotaError):
                    tray.error = outcome

    def _entry(self, arrived: Arrived, document: ParsedDocument) -> Entry:
        most = self._deps.limits.text_characters
        if len(document.text) > most:
            raise DocumentError(
                f"{arrived.source} has {len(document.text):,} characters; {most:,} are allowed: "
                "split it"
            )
        return entry_of(document, arrived.source, arrived.key, self._deps.tokenizer)


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


def _report(log: TenantLog, tray: IngestResult) -> TakenIn:
    """Note the job, and say what was taken in."""
    refused = [Refused(one.source, one.reason) for one in tray.failed]
    job = log.jobs.create([accepted.document for accepted, _ in tray.accepted], refused)
    head = _head_step(log)
    documents = [_taken(accepted, tokens, head) for accepted, tokens in tray.accepted[:_LISTED]]
    return TakenIn(
        id=documents[0].id,
        status_url=documents[0].url,
        job_id=job.id,
        job_url=job_url(job.id),
        min_step=max(one.first_step + one.chunks for one, _ in tray.accepted),
        documents=documents,
        failed=tray.failed,
    )


def _taken(accepted: Accepted, tokens: int, head: int) -> Taken:
    end = accepted.first_step + accepted.chunks
    return Taken(
        id=accepted.key,
        url=document_url(accepted.key),
        state="memorized" if end <= head else "waiting",
        first_step=accepted.first_step,
        end_step=end,
        tokens=tokens,
        known=not accepted.new,
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
