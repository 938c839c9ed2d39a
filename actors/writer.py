"""The write role: chunks of many tenants in one forward pass, rows to files.

A writer keeps of a tenant only the newest block and the rows that are not in a file yet.
"""

from __future__ import annotations

import logging
import uuid
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mplus_ray.actors.plans import Sealed, WritePlan, WriteRequest
from mplus_ray.model.errors import DamagedFileError, InvalidInputError

if TYPE_CHECKING:
    from mplus_ray.model import MPlus
    from mplus_ray.model.object_store.object_store import ObjectStore
    from mplus_ray.model.store.file_refs import Shard, State
    from mplus_ray.model.store.row_format import RowFormat, StoredRows
    from mplus_ray.model.store.writer_state import WriterState

_log = logging.getLogger(__name__)

STATE_EVERY = 64  # steps; what forgetting, forking or a crash makes to be done again, at most
RESTING_BYTES = 256 << 20  # of newest blocks, kept of tenants that are not open


@dataclass
class _Open:
    plan: WritePlan
    rows: RowFormat
    writer_state: WriterState
    step: int  # committed; rows of earlier steps are in files
    states: list[State]
    lost: list[State]  # that cannot be read; another one of the same step may take their place
    newest_state: int  # its step, also while its file is being written
    pending: list[StoredRows] = field(default_factory=list)


class Writer:
    """Memorizes for the tenants it has opened; what it seals counts once it is committed."""

    def __init__(self, model: MPlus, files: ObjectStore) -> None:
        self._model = model
        self._files = files
        self._tenants: dict[str, _Open] = {}
        self._resting: OrderedDict[str, tuple[str, WriterState]] = (
            OrderedDict()
        )  # head and writer state

    def open(self, plan: WritePlan) -> int:
        """Take a tenant over; returns the step from which its chunks are wanted.

        That can be earlier than the head: what lies between is memorized again to get back to
        where the last writer was, and its rows, which exist, are dropped.
        """
        from mplus_ray.model.store.row_format import RowFormat

        rested = self._rested(plan) or self._from_head(plan)
        writer_state = rested or self._model.empty_memory().writer_state
        states = [state for state in plan.states if state.step <= plan.step]
        lost: list[State] = []
        while states and rested is None:
            try:
                writer_state = self._model.read_writer_state(self._files, states[-1])
                break
            except DamagedFileError as error:
                _log.warning("going back to an earlier state: %s", error)
                lost.append(states.pop())
        rows = RowFormat.of(self._model.config, plan.precision)
        newest = states[-1].step if states else 0
        self._tenants[plan.tenant] = _Open(
            plan, rows, writer_state, plan.step, states, lost, newest
        )
        return writer_state.step

    def _from_head(self, plan: WritePlan) -> WriterState | None:
        """Where rows are inputs, a chunk needs nothing of those before it but their history, and
        to make rows again not even that."""
        from mplus_ray.model.store.writer_state import WriterState

        if self._model.config.rows == "outputs":
            return None
        return WriterState(plan.step, bytes.fromhex(plan.history), None)

    def memorize(self, requests: Sequence[WriteRequest]) -> list[int]:
        """One step for each of different tenants; returns their steps afterwards.

        Raises:
            InvalidInputError: a request is not the tenant's next step; nothing was memorized.
        """
        self._check(requests)
        opened = [self._tenants[request.tenant] for request in requests]
        written = self._model.write_steps(
            [tenant.writer_state for tenant in opened], [request.token_ids for request in requests]
        )
        for tenant, (writer_state, rows) in zip(opened, written, strict=True):
            tenant.writer_state = writer_state
            if writer_state.step > tenant.step:
                tenant.pending.append(tenant.rows.store(rows))
        return [tenant.writer_state.step for tenant in opened]

    def pending(self, tenant: str) -> int:
        """Steps of a tenant whose rows are in no file yet."""
        return len(self._tenants[tenant].pending)

    def seal(self, tenant: str, leaving: bool = False) -> Sealed | None:
        """Write what a tenant has pending to files; None if there is nothing to commit.

        Args:
            leaving: the tenant will be idle, so the next writer should find a state at its head.

        Raises:
            StorageError: the storage refused; close the tenant and open it again.
        """
        return self.seal_later(tenant, leaving)()

    def seal_later(self, tenant: str, leaving: bool = False) -> Callable[[], Sealed | None]:
        """Seal in two parts: what is pending is taken now, and written by the call returned.

        That call may be made in another thread while this one memorizes on; calls for one tenant
        in the order in which they were got.
        """
        opened = self._tenants[tenant]
        writer_state = opened.writer_state
        if writer_state.step < opened.step:  # not yet back at the head
            return _nothing
        first, rows = opened.step, opened.pending
        newest = opened.newest_state
        with_state = writer_state.step >= newest + STATE_EVERY or (
            leaving and writer_state.step > newest
        )
        if not rows and not with_state:
            return _nothing
        opened.pending, opened.step = [], writer_state.step
        if with_state:
            opened.newest_state = writer_state.step

        def write() -> Sealed:
            shards = (self._write_shard(opened, first, rows),) if rows else ()
            states, dropped = self._write_state(opened, writer_state) if with_state else ((), [])
            dropped, opened.lost = dropped + opened.lost, []
            return Sealed(
                tenant,
                opened.plan.head,
                writer_state.step,
                writer_state.history.hex(),
                shards,
                states,
                tuple(dropped),
            )

        return write

    def close(self, tenant: str) -> None:
        """Let go of a tenant; what was not sealed is to be memorized again.

        Where everything was, it is kept in memory for a while, so that the next `open` at the
        same step reads no file.
        """
        opened = self._tenants.pop(tenant, None)
        if opened is None or opened.pending or opened.writer_state.step != opened.step:
            return
        if opened.writer_state.last_block is None:  # nothing was memorized
            return
        self._resting[tenant] = (opened.plan.head, opened.writer_state)
        self._resting.move_to_end(tenant)
        nbytes = opened.writer_state.last_block.nbytes
        while len(self._resting) * nbytes > RESTING_BYTES:
            self._resting.popitem(last=False)

    def _rested(self, plan: WritePlan) -> WriterState | None:
        """What is kept of the tenant, if nobody wrote its memory since."""
        head, writer_state = self._resting.pop(plan.tenant, ("", None))
        if writer_state is None or (head, writer_state.step, writer_state.history.hex()) != (
            plan.head,
            plan.step,
            plan.history,
        ):
            return None
        return writer_state

    def _write_shard(self, opened: _Open, first: int, pending: list[StoredRows]) -> Shard:
        from mplus_ray.model.store.row_format import StoredRows
        from mplus_ray.model.store.shards import ShardHeader, write_shard

        header = ShardHeader(self._model.fingerprint, opened.rows, first, len(pending))
        rows = StoredRows.join(pending)
        return write_shard(self._files, _name(opened.plan, "rows"), header, rows)

    def _write_state(
        self, opened: _Open, writer_state: WriterState
    ) -> tuple[tuple[State, ...], list[State]]:
        """The new state, and those that it replaces."""
        from mplus_ray.model.store.writer_state import write_state

        name = _name(opened.plan, "state")
        state = write_state(self._files, name, writer_state, self._model.fingerprint)
        dropped = _superseded(opened.states, writer_state.step, opened.plan.tenant)
        opened.states = [s for s in opened.states if s not in dropped] + [state]
        return (state,), dropped

    def _check(self, requests: Sequence[WriteRequest]) -> None:
        seen = set()
        for request in requests:
            opened = self._tenants.get(request.tenant)
            if opened is None or request.tenant in seen or request.step != opened.writer_state.step:
                raise InvalidInputError(
                    f"step {request.step} of tenant {request.tenant} is not the next one here: "
                    + (
                        "the tenant is not open"
                        if opened is None
                        else f"{opened.writer_state.step} is"
                    )
                )
            seen.add(request.tenant)


def _nothing() -> None:
    """Of a tenant that has nothing to commit."""


def _superseded(states: list[State], newest: int, tenant: str) -> list[State]:
    """The last state goes if the one before it and the new one are close enough without it.

    A fork keeps those it shares: while it names them, it deletes them when it forgets.
    """
    before = states[-2].step if len(states) > 1 else 0
    if states and not states[-1].file.startswith(f"{tenant}/"):
        return []
    return states[-1:] if newest - before <= STATE_EVERY else []


def _name(plan: WritePlan, kind: str) -> str:
    suffix = "arrow" if kind == "rows" else "state"
    return f"{plan.tenant}/{plan.head}/{plan.epoch:08d}-{kind}-{uuid.uuid4().hex}.{suffix}"
