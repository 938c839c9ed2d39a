"""Heads that advance: each by what was written for it, several in one transaction.

A transaction waits for the disk once, whatever is in it, so a writer that has eight tenants ready
commits them together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection

from mplus_ray.model.errors import InvalidInputError, TenantNotFoundError
from mplus_ray.model.store.file_refs import Shard, State
from mplus_ray.pipeline.ledger.heads import building_head as builds
from mplus_ray.pipeline.ledger.heads import leases
from mplus_ray.pipeline.ledger.heads.head import (
    Committed,
    add_files,
    check_cover,
    drop_names,
    require_head,
)
from mplus_ray.pipeline.ledger.heads.leases import Lease
from mplus_ray.pipeline.ledger.schema import heads, states
from mplus_ray.pipeline.ledger.tenant_scope import TenantScope, writing_together


@dataclass(frozen=True)
class Advance:
    """A head that is to move to `step` by the shards that continue it.

    Attributes:
        scope: of the tenant.
        head: its id.
        history: hash chain at `step`, in hex.
        drop_states: those of the head's that it no longer needs.
        release: give the lease back in the same transaction, instead of renewing it.
        lease: of the tenant, held by the writer.
        step: of the head afterwards.
        shards: from the head's step to `step`, without a gap.
        states: new ones.
    """

    scope: TenantScope
    lease: Lease
    head: str
    step: int
    history: str
    shards: Sequence[Shard] = ()
    states: Sequence[State] = ()
    drop_states: Sequence[State] = ()
    release: bool = False


def commit_together(advances: Sequence[Advance]) -> list[Committed]:
    """Make all of them durable, or none; those of one tenant in their order.

    Raises:
        StaleLeaseError: somebody else took one of the tenants over.
        InvalidInputError: shards do not lead from a head's step to the wanted one.
        TenantNotFoundError: a tenant was deleted meanwhile.
    """
    with writing_together([wanted.scope for wanted in advances]) as (connection, active):
        if any(wanted.scope.tenant not in active for wanted in advances):
            raise TenantNotFoundError("a tenant was deleted; nothing of this was kept")
        return [advance(connection, wanted) for wanted in advances]


def advance(connection: Connection, wanted: Advance) -> Committed:
    """Move one head, in a transaction that has locked its tenant.

    Documents that are complete with it are memorized from now on, if the head serves.
    """
    scope, lease = wanted.scope, wanted.lease
    if wanted.release:
        leases.give_back(connection, scope, lease)
    else:
        leases.check_and_renew(connection, scope, lease)
    head = require_head(connection, scope, wanted.head)
    check_cover(wanted.shards, head.step, wanted.step)
    _check_states(wanted.states, wanted.step)
    if wanted.drop_states:
        named = states.c.file.in_([state.file for state in wanted.drop_states])
        drop_names(connection, scope, states, states.c.head == head.id, named)
    add_files(connection, scope, head.id, wanted.shards, wanted.states)
    moved: dict[str, Any] = {
        "step": wanted.step,
        "history": wanted.history,
        "epoch": lease.epoch,
        "committed": scope.clock(),
    }
    changed = {**moved, "version": heads.c.version + 1}
    connection.execute(scope.update(heads).where(heads.c.id == head.id).values(changed))
    delays: tuple[float, ...] = ()
    if head.serving:
        delays = builds.mark_memorized(connection, scope, wanted.step, since=head.step)
    return Committed(replace(head, **moved), delays)


def _check_states(new: Sequence[State], step: int) -> None:
    for state in new:
        if not 0 < state.step <= step:
            raise InvalidInputError(f"{state.file} is of step {state.step}, not in 1 … {step}")
