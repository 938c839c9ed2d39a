"""Tenants that a writer takes over, several in one transaction, and what it has to know of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import Connection

from mplus_ray.model.errors import BusyError
from mplus_ray.pipeline.ledger.heads import leases
from mplus_ray.pipeline.ledger.heads.head import to_head, to_state
from mplus_ray.pipeline.ledger.heads.leases import Lease
from mplus_ray.pipeline.ledger.schema import heads, states
from mplus_ray.pipeline.ledger.tenant_log import TenantLog
from mplus_ray.pipeline.ledger.tenant_scope import writing_together
from mplus_ray.pipeline.writing.write_job import WriteJob


def claim_together(
    logs: Sequence[TenantLog], owner: str, ttl: float, gone: Collection[str]
) -> list[WriteJob]:
    """Claim those of the tenants that are free; what others hold, or was deleted, is left out.

    Args:
        owner: the name of the process that will write; a lease of its own is renewed.
        ttl: seconds until others may take the leases, without a renewal.
        gone: owners that are known to have ended; what they hold is free.

    Returns:
        What is to be done for each, in the order of `logs`.
    """
    if not logs:
        return []
    jobs = []
    with writing_together([log.scope for log in logs]) as (connection, active):
        for log in logs:
            if log.tenant.id not in active:
                continue
            try:
                lease = leases.take(connection, log.scope, owner, ttl, gone)
            except BusyError:
                continue
            jobs.append(_job(connection, log, lease))
    return jobs


def _job(connection: Connection, log: TenantLog, lease: Lease) -> WriteJob:
    """What the serving head lacks, without its shards: a writer only adds to them."""
    scope = log.scope
    head = to_head(connection.execute(scope.select(heads).where(heads.c.serving)).one())
    at = scope.select(states).where(states.c.head == head.id).order_by(states.c.step)
    return WriteJob.at(log, lease, head, tuple(to_state(row) for row in connection.execute(at)))
