"""Who may write a tenant's memory: one holder at a time, each with a higher epoch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row

from model.errors import BusyError, StaleLeaseError
from pipeline.schema import leases
from pipeline.scope import Scope


@dataclass(frozen=True)
class Lease:
    """The right to write one tenant's memory.

    Attributes:
        epoch: grows with every claim by another holder; it tells an old holder from the new one.
        expires: seconds since the epoch, as of when it was taken.
        ttl: seconds that each commit and each renewal adds.
    """

    epoch: int
    owner: str
    expires: float
    ttl: float


def claim(scope: Scope, owner: str, ttl: float, is_gone: Callable[[str], bool]) -> Lease:
    """Take the lease if it is free, expired, the owner's own, or its holder `is_gone`.

    Raises:
        BusyError: somebody else holds it.
    """
    with scope.reading() as connection:
        seen = _row(connection, scope)
    # Asked outside a transaction: finding out whether a process lives may take its time.
    dead = seen is not None and seen.owner not in ("", owner) and is_gone(seen.owner)
    with scope.writing() as connection:
        row, now = _row(connection, scope), scope.clock()
        if row is None:
            first = {"epoch": 1, "owner": owner, "expires": now + ttl}
            scope.insert(connection, leases, [first])
            return Lease(1, owner, now + ttl, ttl)
        judged = dead and seen is not None and (row.epoch, row.owner) == (seen.epoch, seen.owner)
        if row.owner not in ("", owner) and row.expires > now and not judged:
            raise BusyError(
                f"{row.owner} is writing this tenant's memory (its lease runs for another "
                f"{row.expires - now:.0f} s); wait until it is done, or end it"
            )
        epoch = row.epoch if row.owner == owner else row.epoch + 1
        renewed = {"epoch": epoch, "owner": owner, "expires": now + ttl}
        connection.execute(scope.update(leases).values(renewed))
    return Lease(epoch, owner, now + ttl, ttl)


def hold(connection: Connection, scope: Scope, lease: Lease) -> Lease:
    """Check inside a writing transaction that the lease is the current one, and renew it.

    An expired lease that nobody took over is still good: its holder was only slow.

    Raises:
        StaleLeaseError: somebody else took the tenant over, or the lease was given back.
    """
    row = _row(connection, scope)
    if row is None or (row.epoch, row.owner) != (lease.epoch, lease.owner):
        holder = row.owner if row and row.owner else "nobody"
        raise StaleLeaseError(
            f"the lease of {lease.owner} with epoch {lease.epoch} is void ({holder} holds the "
            "tenant now); nothing was committed: claim the tenant again and go on from its head"
        )
    expires = scope.clock() + lease.ttl
    connection.execute(scope.update(leases).values(expires=expires))
    return Lease(lease.epoch, lease.owner, expires, lease.ttl)


def release(scope: Scope, lease: Lease) -> None:
    """Let others claim the tenant at once; a lease that is void already is left alone."""
    with scope.writing() as connection:
        # The row stays, so that epochs go on growing.
        connection.execute(
            scope.update(leases)
            .where(leases.c.epoch == lease.epoch, leases.c.owner == lease.owner)
            .values(owner="", expires=0.0)
        )


def _row(connection: Connection, scope: Scope) -> Row[Any] | None:
    return connection.execute(scope.select(leases)).one_or_none()
