"""A second head beside the serving one: begun, dropped, or put in its place.

Every function runs in a writing transaction whose lease has been checked.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from sqlalchemy import Connection, func

from mplus_ray.model.errors import InvalidInputError
from mplus_ray.model.store.file_refs import Shard, State
from mplus_ray.pipeline.ledger.heads.head import (
    Head,
    add_files,
    add_head,
    check_cover,
    drop_head,
    forgotten,
    new_head,
    require_head,
    to_head,
)
from mplus_ray.pipeline.ledger.heads.leases import Lease
from mplus_ray.pipeline.ledger.heads.rechunk import adopt
from mplus_ray.pipeline.ledger.heads.renumbering import StepMap, step_map
from mplus_ray.pipeline.ledger.schema import chunks, documents, forgets, heads, snapshots
from mplus_ray.pipeline.ledger.tenant_scope import TenantScope
from mplus_ray.pipeline.ledger.webhooks.finished_jobs import tell_of_jobs

REASONS = ("forget", "upgrade")


def begin(
    connection: Connection,
    scope: TenantScope,
    lease: Lease,
    *,
    fingerprint: str,
    reason: str,
    excluded: Sequence[str],
    step: int,
    history: str,
    shared_shards: Sequence[Shard],
    shared_states: Sequence[State],
) -> Head:
    """A building head; one that was there is dropped."""
    if reason not in REASONS:
        raise InvalidInputError(f"a head is not built for {reason!r}, only for {REASONS}")
    check_cover(shared_shards, 0, step)
    _check_forgotten(connection, scope, excluded)
    if late := [state for state in shared_states if state.step > step]:
        raise InvalidInputError(f"{late[0].file} is of step {late[0].step}, after {step}")
    drop(connection, scope)
    head = new_head(
        fingerprint,
        scope.clock(),
        serving=False,
        step=step,
        epoch=lease.epoch,
        history=history,
        excluded=tuple(dict.fromkeys(excluded)),
        reason=reason,
    )
    add_head(connection, scope, head)
    add_files(connection, scope, head.id, shared_shards, shared_states)
    return head


def drop(connection: Connection, scope: TenantScope) -> None:
    """Give up the building head, if there is one."""
    row = connection.execute(scope.select(heads).where(~heads.c.serving)).one_or_none()
    if row is not None:
        drop_head(connection, scope, row.id)


def swap(connection: Connection, scope: TenantScope, lease: Lease, head_id: str) -> Head:
    """The building head serves from now on, and what it leaves out was never in the log."""
    head = require_head(connection, scope, head_id)
    if head.serving:
        raise InvalidInputError(f"the head {head_id} serves already")
    old = to_head(connection.execute(scope.select(heads).where(heads.c.serving)).one())
    left_out = step_map(connection, scope, head.excluded)
    needed = left_out.to_head(old.step)
    if head.reason == "upgrade":
        _remove(connection, scope, head.excluded)
        adopt(connection, scope, head_id, head.step, set(head.excluded))
    elif head.step < needed:
        raise InvalidInputError(
            f"the new head has {head.step} steps of the {needed} that are served now; memorize "
            "the rest before the swap"
        )
    drop_head(connection, scope, old.id)
    now = scope.clock()
    connection.execute(
        scope.update(heads)
        .where(heads.c.id == head_id)
        .values(serving=True, excluded=[], reason="serving", epoch=lease.epoch, committed=now)
    )
    if head.reason != "upgrade":
        _remove(connection, scope, head.excluded)
        _renumber(connection, scope, left_out)
    mark_memorized(connection, scope, head.step)
    return require_head(connection, scope, head_id)


def mark_memorized(
    connection: Connection, scope: TenantScope, step: int, since: int = 0
) -> tuple[float, ...]:
    """Date the documents that are complete at `step` and have no date.

    Args:
        since: a step before which all have one; it spares a scan.

    Returns:
        How many seconds each of them had waited.
    """
    # Documents lie in order: none before the one at `since` can have become complete now.
    at_since = (
        scope.select(documents, func.max(documents.c.first_step))
        .where(documents.c.first_step <= since)
        .correlate(None)
        .scalar_subquery()
    )
    now = scope.clock()
    dated = (
        scope.update(documents)
        .where(
            documents.c.first_step >= func.coalesce(at_since, 0),
            documents.c.first_step < step,
            documents.c.first_step + documents.c.chunk_count <= step,
            documents.c.memorized.is_(None),
        )
        .values(memorized=now)
        .returning(documents.c.id, documents.c.created)
    )
    found = connection.execute(dated).all()
    tell_of_jobs(connection, scope, [row.id for row in found])
    return tuple(max(0.0, now - row.created) for row in found)


def _check_forgotten(connection: Connection, scope: TenantScope, excluded: Sequence[str]) -> None:
    """A build may leave out only what somebody asked to forget."""
    wanted = step_map(connection, scope, excluded)
    if wanted != forgotten(connection, scope, documents.c.id.in_(excluded)):
        raise InvalidInputError(
            "a document to be left out has no forget request; request that first"
        )


def _remove(connection: Connection, scope: TenantScope, excluded: Sequence[str]) -> None:
    connection.execute(scope.delete(chunks).where(chunks.c.document.in_(excluded)))
    connection.execute(scope.delete(documents).where(documents.c.id.in_(excluded)))
    connection.execute(
        scope.update(forgets)
        .where(forgets.c.document.in_(excluded), forgets.c.rebuilt.is_(None))
        .values(rebuilt=scope.clock())
    )


def _renumber(connection: Connection, scope: TenantScope, left_out: StepMap) -> None:
    """Close the gaps that the removed documents leave in the numbering of steps."""
    if not left_out.ranges:
        return
    for row in connection.execute(scope.select(snapshots)).all():
        connection.execute(
            scope.update(snapshots)
            .where(snapshots.c.name == row.name)
            .values(step=left_out.to_head(row.step))
        )
    ends = [end for _, end in left_out.ranges]
    for table, column in ((chunks, chunks.c.step), (documents, documents.c.first_step)):
        # Databases check uniqueness row by row, so moved rows wait below zero for all others.
        for lower, upper in pairwise([*ends, None]):
            assert lower is not None
            move = scope.update(table).where(column >= lower)
            if upper is not None:
                move = move.where(column < upper)
            connection.execute(move.values({column: -1 - (column - left_out.before(lower))}))
        connection.execute(scope.update(table).where(column < 0).values({column: -1 - column}))
