"""Queries over all tenants, for `Ledger`: each with its serving head, and sums over what it has."""

from __future__ import annotations

from typing import Any

from sqlalchemy import CompoundSelect, Connection, Row, Select, func, select, union

from mplus_ray.pipeline.ledger.schema import (
    chunks,
    documents,
    failures,
    heads,
    leases,
    shards,
    states,
    tenants,
)
from mplus_ray.pipeline.ledger.tenant import TenantSummary, to_tenant


def with_head(*columns: Any) -> Select[Any]:
    """Tenants with the fingerprint of the head that serves, and these columns."""
    serving = (heads.c.tenant == tenants.c.id) & heads.c.serving
    return select(tenants, heads.c.fingerprint, *columns).join_from(tenants, heads, serving)


def named(name: str) -> Select[Any]:
    return with_head().where(tenants.c.name == name)


def active(*columns: Any) -> Select[Any]:
    """Those that are not being deleted."""
    return with_head(*columns).where(tenants.c.status == "active")


def count_forks(connection: Connection, family: str) -> int:
    """How many tenants go back to the one of this id."""
    query = select(func.count()).select_from(tenants).where(tenants.c.origin == family)
    return int(connection.execute(query).scalar_one())


def select_summaries() -> Select[Any]:
    """What `TenantSummary` says of each, by name."""
    log = _per_tenant(
        chunks.c.tenant,
        func.count().label("chunks"),
        func.sum(chunks.c.tokens).label("tokens"),
    )
    live = _per_tenant(
        documents.c.tenant,
        func.count().label("documents"),
        where=documents.c.forget.is_(None),
    )
    files = _per_tenant(shards.c.tenant, func.sum(shards.c.nbytes).label("nbytes"))
    query = active(heads.c.step, log.c.chunks, log.c.tokens, live.c.documents, files.c.nbytes)
    for part in (log, live, files):
        query = query.outerjoin(part, part.c.tenant == tenants.c.id)
    return query.order_by(tenants.c.name)


def to_summary(row: Row[Any]) -> TenantSummary:
    return TenantSummary(
        to_tenant(row),
        documents=row.documents or 0,
        chunks=row.chunks or 0,
        tokens=int(row.tokens or 0),
        step=row.step,
        nbytes=int(row.nbytes or 0),
    )


def select_tallies() -> Select[Any]:
    """Counts of every tenant, see `Ledger.tallies`."""
    failed = _per_tenant(failures.c.tenant, func.count().label("failed"))
    first = (documents.c.tenant == tenants.c.id) & (documents.c.first_step == 0)
    was_memorized = select(documents.c.id).where(first, documents.c.memorized.is_not(None))
    rest = (chunks.c.tenant == tenants.c.id) & (chunks.c.step >= heads.c.step)
    pieces, tokens = func.count(chunks.c.document.distinct()), func.sum(chunks.c.tokens)
    query = active(
        select(pieces).where(rest).scalar_subquery().label("documents_left"),
        func.coalesce(select(tokens).where(rest).scalar_subquery(), 0).label("tokens_left"),
        func.coalesce(failed.c.failed, 0).label("failed"),
        ((heads.c.step == 0) & was_memorized.exists()).label("cold"),
    )
    return query.outerjoin(failed, failed.c.tenant == tenants.c.id)


def select_holders() -> Select[Any]:
    """Leases that are held, see `Ledger.holders`."""
    columns = (tenants.c.name, leases.c.owner, leases.c.epoch, leases.c.expires)
    return (
        select(*columns)
        .join_from(leases, tenants, leases.c.tenant == tenants.c.id)
        .where(leases.c.owner != "", tenants.c.status == "active")
        .order_by(leases.c.owner, tenants.c.name)
    )


def select_files() -> CompoundSelect[Any]:
    """Files that heads name, see `Ledger.named_files`."""
    return union(*(select(t.c.tenant, t.c.file, t.c.nbytes) for t in (shards, states)))


def _per_tenant(tenant: Any, *columns: Any, where: Any = None) -> Any:
    query = select(tenant, *columns).group_by(tenant)
    return (query if where is None else query.where(where)).subquery()
