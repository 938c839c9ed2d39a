"""What a reader is told of a tenant's memory, for every question, without reading it anew.

A head's `version` grows with every change to its steps, files and masks, in the transaction of
the change. So one small query says whether the plan that is kept is still the right one, and a
mask that was committed before the call is always in the plan.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Row, func

from mplus_ray.actors.plans import ReadPlan
from mplus_ray.model.errors import (
    InvalidInputError,
    NotYetError,
    TenantNotFoundError,
)
from mplus_ray.pipeline.ledger.documents.append import next_step
from mplus_ray.pipeline.ledger.filters.filter import Filter
from mplus_ray.pipeline.ledger.filters.matching import steps_of
from mplus_ray.pipeline.ledger.filters.times import read_order
from mplus_ray.pipeline.ledger.heads.head import Serving, read_head
from mplus_ray.pipeline.ledger.schema import documents, forgets, heads, tenants
from mplus_ray.pipeline.ledger.tenant_log import TenantLog
from mplus_ray.pipeline.ledger.tenant_scope import TenantScope

if TYPE_CHECKING:
    from mplus_ray.model.memory.step_order import StepOrder
    from mplus_ray.model.memory.step_ranges import StepRanges
    from mplus_ray.pipeline.ledger.ledger import Ledger

_POLL_SECONDS = 0.02
_KEPT_FILTERS = 32  # of a tenant
_KEPT_TENANTS = 256  # tenants; a plan names each of a memory's files
_USE_NOTED_EVERY = 60.0  # seconds, or a tenth of what makes a tenant cold
_LONGEST_RETRY = 30.0


@dataclass(frozen=True)
class _Kept:
    """A plan as of one version of a head.

    Attributes:
        whole: steps that the memory had before it was dropped; 0 if it has them all.
        expires: when the next document is to be forgotten (seconds since the epoch).
        filters: the steps that filters leave, by what they say; the first are let go first.
    """

    head: str
    version: int
    plan: ReadPlan
    whole: int
    expires: float | None
    filters: OrderedDict[str, StepRanges] = field(default_factory=OrderedDict)

    def left(self, connection: Connection, scope: TenantScope, wanted: Filter) -> StepRanges:
        """The steps that a filter leaves. They change with the version only: a document that is
        not memorized yet has none that the plan reads."""
        key = repr(wanted)  # 1 and true are equal, and not the same
        found = self.filters.get(key)
        if found is None:
            found = steps_of(connection, scope, wanted)
            self.filters[key] = found
            while len(self.filters) > _KEPT_FILTERS:
                with suppress(KeyError):  # another thread was faster
                    self.filters.popitem(last=False)
        return found


class Plans:
    """Plans of many tenants, those asked for last kept. Any number of threads may call it.

    A memory that was dropped because nobody used it (or that a fork or an import has not made
    yet) is asked for: a writer memorizes it again, and until then there is no plan, because half
    of it would answer as if the rest had never been.

    Args:
        kept: of how many tenants.
    """

    def __init__(self, ledger: Ledger, kept: int = _KEPT_TENANTS) -> None:
        self._ledger = ledger
        self._most = kept
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._lock = threading.Lock()

    def plan(
        self,
        log: TenantLog,
        min_step: int | None = None,
        as_of: int | None = None,
        timeout: float = 0.0,
        wanted: Filter | None = None,
        moment: float | None = None,
    ) -> ReadPlan:
        """The tenant's memory as it is now, or as it was after `as_of` steps.

        Args:
            min_step: what the memory has to have at least; more than the log has stands for all
                of it where something was forgotten, which numbers the steps anew.
            timeout: seconds to wait for that, and for a memory that was dropped.
            wanted: the documents that may be read; None: all.
            moment: that the question is about (seconds since the epoch); None: now.

        Raises:
            NotYetError: it has not come so far in time.
            InvalidInputError: the memory was never at `as_of`, or `min_step` is beyond the log.
            TenantNotFoundError: the tenant was deleted.
        """
        deadline = time.monotonic() + timeout
        while True:
            try:
                return self._look(log, min_step, as_of, wanted, moment)
            except NotYetError:
                if time.monotonic() >= deadline:
                    raise
            time.sleep(_POLL_SECONDS)

    async def wait(
        self,
        log: TenantLog,
        min_step: int | None = None,
        as_of: int | None = None,
        timeout: float = 0.0,  # noqa: ASYNC109
        wanted: Filter | None = None,
        moment: float | None = None,
    ) -> ReadPlan:
        """Wait for a step, holding a thread only while the ledger is read; see `plan`."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                return await asyncio.to_thread(self._look, log, min_step, as_of, wanted, moment)
            except NotYetError:
                if time.monotonic() >= deadline:
                    raise
            await asyncio.sleep(_POLL_SECONDS)

    def forget(self, tenant: str) -> None:
        """Let go of a tenant's plan; for one that is gone."""
        with self._lock:
            self._kept.pop(tenant, None)

    def _look(
        self,
        log: TenantLog,
        min_step: int | None,
        as_of: int | None,
        wanted: Filter | None,
        moment: float | None,
    ) -> ReadPlan:
        while (plan := self._seen(log, min_step, as_of, wanted)) is None:
            log.forgets.expire()
        if moment is None:
            return plan
        return replace(plan, order=log.order(moment))

    def _seen(
        self, log: TenantLog, min_step: int | None, as_of: int | None, wanted: Filter | None
    ) -> ReadPlan | None:
        """None if a document's time is over, so that it has to be masked first."""
        with log.scope.reading() as connection:
            row = serving_row(connection, log.scope)
            kept = self._current(log, row, connection)
            if kept.expires is not None and kept.expires <= log.scope.clock():
                return None
            only = None if wanted is None else kept.left(connection, log.scope, wanted)
            needed = kept.whole
            if min_step is not None and min_step > kept.plan.step:
                needed = max(needed, _reachable(connection, log.scope, min_step))
        if kept.whole and row.wanted is None:
            log.request_warmup()
        self._note_use(log, row)
        lacking = needed - kept.plan.step
        if lacking > 0:
            raise NotYetError(
                f"the memory has {kept.plan.step} of the {needed} steps that are wanted; ask "
                "again in a moment",
                min(_LONGEST_RETRY, 1.0 + lacking // 50),
            )
        if as_of is None and only is None:
            return kept.plan
        step = kept.plan.step if as_of is None else as_of
        if not 0 <= step <= kept.plan.step:
            raise InvalidInputError(
                f"step {as_of} is not in 0 … {kept.plan.step}, what is memorized"
            )
        return replace(kept.plan, step=step, only=only)

    def _current(self, log: TenantLog, row: Row[Any], connection: Connection) -> _Kept:
        """The plan of the head that serves, in the transaction that saw its version."""
        tenant = log.tenant.id
        with self._lock:
            kept = self._kept.get(tenant)
            if kept is not None and (kept.head, kept.version) == (row.id, row.version):
                self._kept.move_to_end(tenant)
                return kept
        serving = read_head(connection, log.scope, serving=True)
        assert serving is not None, "one row of it was read in this transaction"
        plan = read_plan(log, serving, order=read_order(connection, log.scope))
        whole, expires = _whole(connection, log.scope, plan.step), _expires(connection, log.scope)
        found = _Kept(row.id, row.version, plan, whole, expires)
        with self._lock:
            self._kept[tenant] = found
            self._kept.move_to_end(tenant)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return found

    def _note_use(self, log: TenantLog, row: Row[Any]) -> None:
        """Keep a tenant warm that would be dropped without use."""
        if row.cold_after is None:
            return
        if log.scope.clock() - row.used >= min(_USE_NOTED_EVERY, row.cold_after / 10):
            self._ledger.notes.submit(f"tenant {log.tenant.id}", log.touch)


def _reachable(connection: Connection, scope: TenantScope, min_step: int) -> int:
    """`min_step`, or all of the log where its steps were numbered anew since: by forgetting, or
    for another model.

    Raises:
        InvalidInputError: the log never had so many steps.
    """
    length = next_step(connection, scope)
    if min_step <= length:
        return min_step
    forgot = scope.select(forgets, forgets.c.id).limit(1)
    first_head = (  # it is as old as its tenant; one that took its place has other steps
        scope.select(heads, heads.c.id)
        .join(tenants, tenants.c.id == heads.c.tenant)
        .where(heads.c.serving, heads.c.created == tenants.c.created)
    )
    renumbered = connection.execute(forgot).first() or not connection.execute(first_head).first()
    if not renumbered:
        raise InvalidInputError(
            f"min_step {min_step} is beyond the log, which has {length} steps; send the `min_step` "
            "that a document was answered with"
        )
    return length


def serving_row(connection: Connection, scope: TenantScope) -> Row[Any]:
    """Which head serves, in which version, and what is to be known of its tenant.

    Raises:
        TenantNotFoundError: the tenant was deleted.
    """
    settings = (tenants.c.used, tenants.c.cold_after, tenants.c.wanted)
    query = (
        scope.select(heads, heads.c.id, heads.c.step, heads.c.version, *settings)
        .join(tenants, tenants.c.id == heads.c.tenant)
        .where(heads.c.serving, tenants.c.status == "active")
    )
    row = connection.execute(query).one_or_none()
    if row is None:
        raise TenantNotFoundError("the tenant was deleted")
    return row


def _expires(connection: Connection, scope: TenantScope) -> float | None:
    """When the next document is to be forgotten."""
    query = scope.select(documents, func.min(documents.c.expires_at))
    found = connection.execute(query.where(documents.c.forget.is_(None))).scalar_one()
    return None if found is None else float(found)


def _whole(connection: Connection, scope: TenantScope, step: int) -> int:
    """How many steps were memorized once, if the head lacks some of them; otherwise 0.

    Writers take a document with a date for memorized, so nobody makes these unasked.
    """
    d = documents.c
    end = (d.first_step + d.chunk_count).label("end")
    at_head = (
        scope.select(documents, end, d.memorized)
        .where(d.first_step <= step)
        .order_by(d.first_step.desc())
        .limit(1)
    )
    row = connection.execute(at_head).one_or_none()
    if row is None or row.end <= step or row.memorized is None:
        return 0
    dated = scope.select(documents, func.max(end)).where(d.memorized.is_not(None))
    return int(connection.execute(dated).scalar_one())


def read_plan(
    log: TenantLog,
    serving: Serving,
    as_of: int | None = None,
    wanted: Filter | None = None,
    order: StepOrder | None = None,
    moment: float | None = None,
) -> ReadPlan:
    """What a reader is told of a tenant's memory, as it is or as it was after `as_of` steps.

    Args:
        wanted: the documents that may be read; None: all.
        order: of the steps in time, if it is known.
        moment: that the question is about (seconds since the epoch); None: now.

    Raises:
        InvalidInputError: the memory was never at that step.
    """
    head, tenant = serving.head, log.tenant
    if as_of is not None and not 0 <= as_of <= head.step:
        raise InvalidInputError(f"step {as_of} is not in 0 … {head.step}, what is memorized")
    return ReadPlan(
        tenant=tenant.id,
        head=head.id,
        fingerprint=head.fingerprint,
        seed=tenant.seed,
        precision=tenant.precision,
        retention=tenant.retention,
        step=head.step if as_of is None else as_of,
        shards=serving.shards,
        forgotten=serving.masks,
        only=None if wanted is None else log.steps_left(wanted),
        order=log.order(moment) if order is None else order,
    )
