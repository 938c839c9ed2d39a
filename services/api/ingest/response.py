"""What is said of documents that were taken in: their job, their state, their addresses."""

from __future__ import annotations

from urllib.parse import quote

from mplus_ray.model.errors import MPlusError, RateLimitedError
from mplus_ray.pipeline.ledger.documents.jobs import Job
from mplus_ray.pipeline.ledger.documents.jobs import RefusedDocument as RefusedSource
from mplus_ray.pipeline.ledger.tenant_log import Accepted, TenantLog
from mplus_ray.services.api.ingest.result import IngestResult
from mplus_ray.services.api.schemas.documents import Taken, TakenIn


def document_url(key: str) -> str:
    """Where a document is shown. The slashes of an id stay, unless its parts would lead a client
    elsewhere: older ledgers have such ids."""
    plain = all(part not in ("", ".", "..") for part in key.split("/"))
    return f"/v1/documents/{quote(key, safe='/' if plain else '')}"


def job_url(job_id: str) -> str:
    """Where a job is shown."""
    return f"/v1/jobs/{job_id}"


def _retry_after(error: MPlusError | None) -> float | None:
    return round(error.retry_after, 3) if isinstance(error, RateLimitedError) else None


def report(log: TenantLog, result: IngestResult) -> TakenIn:
    """Note the job, and say what was taken in."""
    refused = [RefusedSource(one.source, one.reason) for one in result.failed]
    job = log.jobs.create(result.documents, refused)
    head = _head_step(log)
    documents = [_taken(accepted, tokens, head) for accepted, tokens in result.listed]
    return TakenIn(
        id=documents[0].id,
        status_url=documents[0].url,
        job_id=job.id,
        job_url=job_url(job.id),
        min_step=result.min_step,
        documents=documents,
        failed=result.failed,
        read=result.read,
        taken_in=result.new,
        known=result.known,
        replaced=result.replaced,
        refused=result.refused,
        refusals=result.counted(),
        next_line=result.next_line,
        complete=result.error is None,
        retry_after=_retry_after(result.error),
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
        updated=accepted.updated,
        replaced=accepted.replaced is not None,
        like=accepted.alike.key if accepted.alike else None,
    )


def refreshed(log: TenantLog, taken: TakenIn, done: bool) -> TakenIn:
    """A response with the state that its documents have now.

    Args:
        done: whether the job is, so that all of them can be asked about.
    """
    head = _head_step(log)
    documents = [
        one.model_copy(update={"state": "memorized"}) if done or one.end_step <= head else one
        for one in taken.documents
    ]
    return taken.model_copy(update={"documents": documents})


def _head_step(log: TenantLog) -> int:
    return log.length() - log.waiting()


def is_done(log: TenantLog, job_id: str) -> bool:
    """Whether nothing of a job is waiting any more."""
    job: Job = log.jobs.get(job_id)
    return job.state in ("done", "failed")
