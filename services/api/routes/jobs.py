"""`/v1/jobs`: how far the work is that goes on after a request was answered."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query

from mplus_ray.pipeline.ledger.api_keys import KeyScope
from mplus_ray.pipeline.ledger.documents.forget_requests import Receipt
from mplus_ray.pipeline.ledger.documents.jobs import Job as LogJob
from mplus_ray.pipeline.ledger.documents.pages import fitting
from mplus_ray.services.api.auth import TenantOf, guarded
from mplus_ray.services.api.openapi import problems
from mplus_ray.services.api.schemas.base import iso, iso_or_none
from mplus_ray.services.api.schemas.documents import Job, JobPage, ReceiptTimes
from mplus_ray.services.api.schemas.problems import FailedSource

router = guarded(KeyScope.QUERY, KeyScope.INGEST, tag="jobs")


@router.get("/v1/jobs", responses=problems())
def list_jobs(
    log: TenantOf,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Query(max_length=200, pattern=r"^[0-9a-f]+$")] = None,
) -> JobPage:
    """Jobs, the newest first; those that were done a week ago are gone."""
    found = log.jobs.list(limit + 1, cursor)
    sizes = [sum(len(one.source) + len(one.reason) for one in job.failed) for job in found]
    page = found[: min(limit, fitting(sizes))]
    more = page[-1].id if len(found) > len(page) else None
    return JobPage(jobs=[_shown(job) for job in page], next_cursor=more)


@router.get("/v1/jobs/{job_id}", responses=problems(404))
def show_job(job_id: str, log: TenantOf) -> Job:
    """One job."""
    return _shown(log.jobs.get(job_id.replace("\0", "?")))


def receipt_times(receipt: Receipt) -> dict[str, Any]:
    """When each stage of forgetting was done, as it is shown."""
    return {
        "id": receipt.id,
        "document_id": receipt.document or None,
        "documents": receipt.documents,
        "reason": receipt.reason,
        "requested": iso(receipt.requested),
        "masked": iso(receipt.masked),
        "rebuilt": iso_or_none(receipt.rebuilt),
        "purged": iso_or_none(receipt.purged),
    }


def _shown(job: LogJob) -> Job:
    return Job(
        id=job.id,
        kind=job.kind,
        state=job.state,
        created=iso(job.created),
        documents=job.documents,
        memorized=job.memorized,
        failed=[FailedSource(source=one.source, reason=one.reason) for one in job.failed],
        receipt=ReceiptTimes(**receipt_times(job.receipt)) if job.receipt else None,
    )
