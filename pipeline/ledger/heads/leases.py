"""Who may write a tenant's memory: one holder at a time, each with a higher epoch."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row

from mplus_ray.model.errors import BusyError, StaleLeaseError
from mplus_ray.pipeline.ledger.schema import leases
from mplus_ray.pipeline.ledger.tenant_scope import TenantScope


@dataclass(frozen=True)
class Lease:
    """The right to write one tenant's memory.

    Attributes:
        epoch: grows with every claim by another holder; it tells an old holder from the new one.
        expires: seconds since the epoch, as of when it was taken.
        ttl: seconds that each commit and each renewal adds.
        owner: who holds it.
    """

    epoch: int
    owner: str
    expires: float
    ttl: float


def claim(scope: TenantScope, owner: str, ttl: float, is_gone: Callable[[str], bool]) -> Lease:
    """Take the lease if it is free, expired, the owner's own, or its holder `is_gone`.

    Raises:
        BusyError: somebody else holds it.
    """
    with scope.reading() as connection:
        seen = _row(connection, scope)
    # Asked outside a transaction: finding out whether a process lives may take its time.
    dead = seen is not None and seen.owner not in ("", owner) and is_gone(seen.owner)
    with scope.writing() as connection:
        return take(connection, scope, owner, ttl, {seen.owner} if seen and dead else ())


def take(
    connection: Connection, scope: TenantScope, owner: str, ttl: float, gone: Collection[str]
) -> Lease:
    """Claim a tenant in a writing transaction.

    Args:
        gone: owners that are known to have ended. No later holder has the name of one.
    """
    row, now = _row(connection, scope), scope.clock()
    if row is None:
        scope.insert(connection, leases, [{"epoch": 1, "owner": owner, "expires": now + ttl}])
        return Lease(1, owner, now + ttl, ttl)
    if row.owner not in ("", owner, *gone) and row.expires > now:
        raise BusyError(
            f"{row.owner} is writing this tenant's memory (its lease runs for another "
            f"{row.expires - now:.0f} s); wait until it is done, or end it"
        )
    epoch = row.epoch if row.owner == owner else row.epoch + 1
    renewed = {"epoch": epoch, "owner": owner, "expires": now + ttl}
    connection.execute(scope.update(leases).values(renewed))
    return Lease(epoch, owner, now + ttl, ttl)


def check_and_renew(connection: Connection, scope: TenantScope, lease: Lease) -> Lease:
    """Check inside a writing transaction that the lease is the current one, and renew it.

    An expired lease that nobody took over is still good: its holder was only slow.

    Raises:
        StaleLeaseError: somebody else took the tenant over, or the lease was given back.
    """
    expires = scope.clock() + lease.ttl
    _change(connection, scope, lease, owner=lease.owner, expires=expires)
    return Lease(lease.epoch, lease.owner, expires, lease.ttl)


def give_back(connection: Connection, scope: TenantScope, lease: Lease) -> None:
    """Give a lease back: others may claim the tenant once the transaction is committed.

    Raises:
        StaleLeaseError: somebody else took the tenant over, or the lease was given back.
    """
    _change(connection, scope, lease, owner="", expires=0.0)


def release(scope: TenantScope, lease: Lease) -> None:
    """Let others claim the tenant at once; a lease that is void already is left alone."""
    with scope.writing() as connection, suppress(StaleLeaseError):
        give_back(connection, scope, lease)


def _change(connection: Connection, scope: TenantScope, lease: Lease, **values: Any) -> None:
    """Change the row of a lease that is the current one; it stays, so that epochs go on growing."""
    current = (leases.c.epoch == lease.epoch) & (leases.c.owner == lease.owner)
    changed = connection.execute(scope.update(leases).where(current).values(**values))
    if not changed.rowcount:
        row = _row(connection, scope)
        holder = row.owner if row and row.owner else "nobody"
        raise StaleLeaseError(
            f"the lease of {lease.owner} with epoch {lease.epoch} is void ({holder} holds the "
            "tenant now); nothing was committed: claim the tenant again and go on from its head"
        )


def _row(connection: Connection, scope: TenantScope) -> Row[Any] | None:
    return connection.execute(scope.select(leases)).one_or_none()
