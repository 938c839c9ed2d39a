"""A head as a value, and its rows in the ledger."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Table

from mplus_ray.model.errors import InvalidInputError
from mplus_ray.model.store.file_refs import Shard, State
from mplus_ray.pipeline.ledger.heads.renumbering import StepMap, ranges, step_map
from mplus_ray.pipeline.ledger.schema import cuts, documents, garbage, heads, shards, states
from mplus_ray.pipeline.ledger.tenant_scope import TenantScope


@dataclass(frozen=True)
class Head:
    """One line of memorizing: weights applied to a log without some documents, up to a step.

    Attributes:
        fingerprint: of the weights.
        step: how many steps are committed, counted as if `excluded` had never come.
        epoch: of the lease that committed last.
        history: hash chain of the chunks up to `step`, in hex; empty at step 0.
        excluded: ids of the documents that a building head leaves out.
        reason: serving, forget or upgrade.
        created, committed: seconds since the epoch.
        id: internal.
        serving: whether questions are answered from it, or it is being built.
    """

    id: str
    fingerprint: str
    serving: bool
    step: int
    epoch: int
    history: str
    excluded: tuple[str, ...]
    reason: str
    created: float
    committed: float


@dataclass(frozen=True)
class Committed:
    """A head that was advanced.

    Attributes:
        delays: seconds from acknowledged to answerable of each document that it completed.
        head: as it is now.
    """

    head: Head
    delays: tuple[float, ...] = ()


@dataclass(frozen=True)
class Serving:
    """All that reading or continuing a head needs, as of one moment.

    Attributes:
        shards: its rows' files by first step; what they leave out of 0 … head.step is forgotten.
        states: where a writer can go on, by step.
        masks: (first step, end) of documents that are being forgotten, in the head's numbering:
            nothing of them may be read.
        head: the one that is read or continued.
    """

    head: Head
    shards: tuple[Shard, ...]
    states: tuple[State, ...]
    masks: tuple[tuple[int, int], ...]

    @property
    def files(self) -> set[str]:
        """Names of all files of the head."""
        return {shard.file for shard in self.shards} | {state.file for state in self.states}

    @property
    def whole(self) -> bool:
        """Whether rows of every step are there, also of those that were forgotten."""
        return sum(shard.steps for shard in self.shards) == self.head.step

    def state_at(self, step: int) -> State | None:
        """The last state at or before `step`."""
        return max((s for s in self.states if s.step <= step), key=lambda s: s.step, default=None)


def read_head(connection: Connection, scope: TenantScope, *, serving: bool) -> Serving | None:
    """The serving or the building head with its files; the caller's transaction is one moment."""
    row = connection.execute(scope.select(heads).where(heads.c.serving == serving)).one_or_none()
    if row is None:
        return None
    head = to_head(row)
    of_head = scope.select(shards).where(shards.c.head == head.id).order_by(shards.c.first_step)
    at_steps = scope.select(states).where(states.c.head == head.id).order_by(states.c.step)
    return Serving(
        head,
        tuple(to_shard(r) for r in connection.execute(of_head)),
        tuple(to_state(r) for r in connection.execute(at_steps)),
        _masks(connection, scope, head),
    )


def require_head(connection: Connection, scope: TenantScope, head_id: str) -> Head:
    """The head of that id.

    Raises:
        InvalidInputError: the tenant has none; it was swapped out or dropped.
    """
    row = connection.execute(scope.select(heads).where(heads.c.id == head_id)).one_or_none()
    if row is None:
        raise InvalidInputError(f"there is no head {head_id} any more; read the tenant's head anew")
    return to_head(row)


def new_head(fingerprint: str, now: float, **more: Any) -> Head:
    """The empty head that a tenant begins with."""
    fields = {"serving": True, "step": 0, "history": "", "excluded": (), "reason": "serving"}
    new = {"id": uuid.uuid4().hex, "epoch": 0, "created": now, "committed": now}
    return Head(**{"fingerprint": fingerprint, **fields, **new, **more})


def add_head(connection: Connection, scope: TenantScope, head: Head) -> None:
    scope.insert(connection, heads, [{**asdict(head), "excluded": list(head.excluded)}])


def add_files(
    connection: Connection,
    scope: TenantScope,
    head_id: str,
    new_shards: Sequence[Shard] = (),
    new_states: Sequence[State] = (),
) -> None:
    """Name files as a head's."""
    more = {"head": head_id, "created": scope.clock()}
    scope.insert(
        connection, shards, [{**asdict(s), "layout": list(s.layout), **more} for s in new_shards]
    )
    scope.insert(connection, states, [{**asdict(s), **more} for s in new_states])


def new_version(connection: Connection, scope: TenantScope, head_id: str) -> None:
    """Tell caches of read plans that a head is different now."""
    row = scope.update(heads).where(heads.c.id == head_id)
    connection.execute(row.values(version=heads.c.version + 1))


def drop_head(connection: Connection, scope: TenantScope, head_id: str) -> None:
    """Remove a head; files that no other head names are garbage from now on."""
    for table in (shards, states):
        drop_names(connection, scope, table, table.c.head == head_id)
    for table, column in ((cuts, cuts.c.head), (heads, heads.c.id)):
        connection.execute(scope.delete(table).where(column == head_id))


def drop_names(
    connection: Connection, scope: TenantScope, table: Table, *which: ColumnElement[bool]
) -> int:
    """Cease to name the files of these rows, and note them for the next purge; counts them."""
    files = connection.execute(scope.select(table, table.c.file).where(*which)).scalars().all()
    noted = set(connection.execute(scope.select(garbage, garbage.c.file)).scalars())
    scope.insert(connection, garbage, [{"file": file} for file in set(files) - noted])
    connection.execute(scope.delete(table).where(*which))
    return len(files)


def check_cover(pieces: Sequence[Shard], start: int, end: int, gaps: bool = False) -> None:
    """Refuse shards that do not hold the steps `start` … `end` exactly, in order.

    Args:
        gaps: steps may be left out between them, because their rows are forgotten.

    Raises:
        InvalidInputError: there is a gap, an overlap, or they end elsewhere.
    """
    step = start
    for shard in pieces:
        if gaps:
            step = max(step, shard.first_step)
        if shard.first_step != step or shard.steps <= 0:
            raise InvalidInputError(
                f"{shard.file} begins at step {shard.first_step} with {shard.steps} steps where "
                f"step {step} is next; read the head anew and go on from its step"
            )
        step = shard.end
    if step != end:
        raise InvalidInputError(
            f"the shards end at step {step}, not at {end}; read the head anew and go on from there"
        )


def to_head(row: Row[Any]) -> Head:
    fields = {name: getattr(row, name) for name in Head.__dataclass_fields__}
    return Head(**{**fields, "excluded": tuple(row.excluded)})


def to_shard(row: Row[Any]) -> Shard:
    return Shard(row.file, row.checksum, row.first_step, row.steps, row.nbytes, tuple(row.layout))


def to_state(row: Row[Any]) -> State:
    return State(row.file, row.checksum, row.step, row.nbytes, row.history)


def _masks(connection: Connection, scope: TenantScope, head: Head) -> tuple[tuple[int, int], ...]:
    left_out = step_map(connection, scope, head.excluded)
    masked = forgotten(connection, scope, documents.c.id.not_in(head.excluded))
    return tuple((left_out.to_head(first), left_out.to_head(end)) for first, end in masked.ranges)


def forgotten(
    connection: Connection, scope: TenantScope, *conditions: ColumnElement[bool]
) -> StepMap:
    """The log's steps of documents with a forget request."""
    query = (
        scope.select(documents, documents.c.first_step, documents.c.chunk_count)
        .where(documents.c.forget.is_not(None), *conditions)
        .order_by(documents.c.first_step)
    )
    return StepMap(ranges((r.first_step, r.chunk_count) for r in connection.execute(query)))
