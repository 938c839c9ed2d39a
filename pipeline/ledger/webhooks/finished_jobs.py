"""Which batches of documents are done, noted once for the webhooks of their tenant."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from mplus_ray.pipeline.ledger.schema import documents, job_documents, jobs
from mplus_ray.pipeline.ledger.tenant_scope import TenantScope
from mplus_ray.pipeline.ledger.webhooks.events import listening, tell

_AT_ONCE = 500  # ids in one query


def tell_of_jobs(connection: Connection, scope: TenantScope, ids: Sequence[str]) -> None:
    """Note the jobs that these documents, memorized or masked just now, were the last of.

    Args:
        ids: internal ids of documents.
    """
    to = listening(connection, scope, "job.finished") if ids else []
    if not to:
        return
    touched: set[str] = set()
    for begin in range(0, len(ids), _AT_ONCE):
        part = ids[begin : begin + _AT_ONCE]
        query = scope.select(job_documents, job_documents.c.job).where(
            job_documents.c.document.in_(part)
        )
        touched.update(connection.execute(query.distinct()).scalars())
    for job in sorted(touched):
        tell_if_finished(connection, scope, job)


def tell_if_finished(connection: Connection, scope: TenantScope, job: str) -> None:
    """Note one job, if nothing of it is left to do and nobody was told."""
    to = listening(connection, scope, "job.finished")
    row = connection.execute(
        scope.select(jobs).where(jobs.c.id == job, jobs.c.finished.is_(None))
    ).one_or_none()
    if not to or row is None:
        return
    d = documents.c
    lacking = (
        scope.select(job_documents, job_documents.c.document)
        .join(documents, (d.id == job_documents.c.document) & (d.tenant == scope.tenant))
        .where(job_documents.c.job == job, d.memorized.is_(None), d.forget.is_(None))
        .limit(1)
    )
    if connection.execute(lacking).first() is not None:
        return
    state = "done" if row.documents or not row.failed else "failed"
    counts = {"documents": row.documents, "failed": len(row.failed)}
    tell(connection, scope, "job.finished", {"job_id": job, "state": state, **counts}, to)
    connection.execute(scope.update(jobs).where(jobs.c.id == job).values(finished=scope.clock()))
