"""What waits to be memorized, over all tenants: what writers choose from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Connection, Row, ScalarSelect, Select, case, func, select

from mplus_ray.pipeline.ledger.schema import chunks, documents, forgets, heads, leases, tenants

if TYPE_CHECKING:
    from mplus_ray.pipeline.ledger.tenant_log import TenantLog


@dataclass(frozen=True)
class Waiting:
    """What one tenant's memory lacks.

    Attributes:
        chunks: of the log that are not memorized.
        since: when the oldest of them was acknowledged, or a memory that was dropped was wanted,
            or the oldest request to forget was made; in seconds since the epoch, like the other
            times.
        committed: when anything was committed for the tenant last.
        forgets: requests that are not carried out.
        owner, expires: of the lease; "" is nobody.
        log: of the tenant.
    """

    log: TenantLog
    chunks: int
    since: float
    committed: float
    forgets: int
    owner: str
    expires: float

    @property
    def turn(self) -> float:
        """The smallest is served next: a tenant that was just served comes after all that wait."""
        return max(self.since, self.committed)


@dataclass(frozen=True)
class Backlog:
    """Sums over what waits.

    Attributes:
        documents: that are not memorized to their end.
        oldest: seconds for which the oldest has waited; 0 if none does.
        tenants: that lack something.
        chunks, tokens: that are not memorized.
        forgets: requests to forget that are not carried out.
    """

    tenants: int = 0
    documents: int = 0
    chunks: int = 0
    tokens: int = 0
    forgets: int = 0
    oldest: float = 0.0


def read_waiting(connection: Connection, log_of: Callable[[Row[Any]], TenantLog]) -> list[Waiting]:
    """What each tenant lacks, those whose turn is next first; see `Ledger.waiting`."""
    found = [
        Waiting(
            log_of(row),
            chunks=int(row.chunks),
            since=row.since,
            committed=row.committed,
            forgets=int(row.forgets),
            owner=row.owner,
            expires=row.expires,
        )
        for row in connection.execute(_select_waiting()).all()
    ]
    return sorted(found, key=lambda waiting: (waiting.turn, waiting.log.tenant.id))


def sum_up(connection: Connection, waiting: Sequence[Waiting], now: float) -> Backlog:
    """All that waits, see `Ledger.backlog`."""
    lacking = [one for one in waiting if one.chunks]
    sizes = [connection.execute(_select_size(one.log.tenant.id)).one() for one in lacking]
    oldest = min((one.since for one in lacking), default=None)
    return Backlog(
        tenants=len(lacking),
        documents=sum(size.documents for size in sizes),
        chunks=sum(one.chunks for one in lacking),
        tokens=sum(int(size.tokens) for size in sizes),
        forgets=sum(one.forgets for one in waiting),
        oldest=0.0 if oldest is None else max(0.0, now - oldest),
    )


def _select_waiting() -> Select[Any]:
    """Active tenants with something to do, by a few index lookups each, whatever waits.

    A memory that was dropped counts when somebody wants it, or a document is added to it.
    """
    last = _of_tenant(chunks, func.max(chunks.c.step))
    newest = _newest(documents.c.id)
    unmemorized = newest.is_not(None) & _newest(documents.c.memorized).is_(None)
    lacks = unmemorized & (last >= heads.c.step)
    dropped = tenants.c.wanted.is_not(None) & (last >= heads.c.step)
    unpurged = forgets.c.purged.is_(None)
    asked = _of_tenant(forgets, func.count(), unpurged)
    at_head = documents.c.first_step <= heads.c.step
    acknowledged = func.coalesce(
        _newest(case((documents.c.memorized.is_(None), documents.c.created), else_=None), at_head),
        _newest(documents.c.created),
    )
    requested = _of_tenant(forgets, func.min(forgets.c.requested), unpurged)
    since = case((lacks, acknowledged), (dropped, tenants.c.wanted), else_=requested)
    return (
        select(
            tenants,
            heads.c.fingerprint,
            case((lacks | dropped, last + 1 - heads.c.step), else_=0).label("chunks"),
            since.label("since"),
            heads.c.committed,
            asked.label("forgets"),
            func.coalesce(leases.c.owner, "").label("owner"),
            func.coalesce(leases.c.expires, 0.0).label("expires"),
        )
        .join_from(tenants, heads, (heads.c.tenant == tenants.c.id) & heads.c.serving)
        .outerjoin(leases, leases.c.tenant == tenants.c.id)
        .where(tenants.c.status == "active", lacks | dropped | (asked > 0))
    )


def _select_size(tenant: str) -> Select[Any]:
    """Documents and tokens that one tenant's serving head lacks; it reads all that waits."""
    step = select(heads.c.step).where(heads.c.tenant == tenant, heads.c.serving).scalar_subquery()
    return select(
        func.count(func.distinct(chunks.c.document)).label("documents"),
        func.coalesce(func.sum(chunks.c.tokens), 0).label("tokens"),
    ).where(chunks.c.tenant == tenant, chunks.c.step >= step)


def _of_tenant(
    table: Any, value: ColumnElement[Any], *conditions: ColumnElement[bool]
) -> ScalarSelect[Any]:
    """A value over the rows of the tenant at hand."""
    return select(value).where(table.c.tenant == tenants.c.id, *conditions).scalar_subquery()


def _newest(value: ColumnElement[Any], *conditions: ColumnElement[bool]) -> ScalarSelect[Any]:
    """A value of the last document of the tenant at hand."""
    return (
        select(value)
        .where(documents.c.tenant == tenants.c.id, *conditions)
        .order_by(documents.c.first_step.desc())
        .limit(1)
        .correlate(tenants, heads)
        .scalar_subquery()
    )
