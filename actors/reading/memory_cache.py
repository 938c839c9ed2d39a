"""Memories of many tenants for many questions at once: which are open, and opening the others.

Questions hold what they read; the rest is let go of by `actors.reading.residency` when room is
needed. Opening happens in a pool of threads, one memory in one thread, in the order of the plans.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mplus_ray.actors.plans import ReadPlan
from mplus_ray.actors.reading.footprint import Footprint
from mplus_ray.actors.reading.open_memory import OpenMemory, continues, end_of
from mplus_ray.actors.reading.residency import Bytes, Item, Residency
from mplus_ray.model.errors import MemoryTooLargeError, MPlusError

if TYPE_CHECKING:
    from mplus_ray.model import MPlus
    from mplus_ray.model.object_store.object_store import ObjectStore

_log = logging.getLogger(__name__)


@dataclass(eq=False, kw_only=True)
class _Rows(Item):
    """An open memory.

    Attributes:
        plan: the one that reaches furthest of those it was opened for.
        views: to be made, oldest plan first.
        busy: a thread is making them.
    """

    plan: ReadPlan
    views: deque[View] = field(default_factory=deque)
    busy: bool = False


@dataclass(eq=False, kw_only=True)
class View(Item):
    """A step of a memory as questions read it; its value is a `MemoryView`.

    Attributes:
        plan: what was asked for.
    """

    plan: ReadPlan


@dataclass(frozen=True)
class Hold:
    """What a question keeps in its tier while it is answered: its memory, and its own bytes.

    Attributes:
        view: the memory, at the step that the question reads.
        own: what the question itself takes.
    """

    view: View
    own: Item


class Memories:
    """What is open. The caller holds the lock; the pool takes it by itself."""

    def __init__(
        self,
        model: MPlus,
        files: ObjectStore,
        budget: Bytes,
        lock: AbstractContextManager[Any],
        pool: Executor,
        opened: Callable[[View, MPlusError | None], None],
    ) -> None:
        """
        Args:
            opened: called with the lock held when a view is there, or cannot be.
        """
        self._model = model
        self._files = files
        self._lock = lock
        self._pool = pool
        self._opened = opened
        self._far = files.local is None
        self.footprint = Footprint(model)
        self.residency = Residency(budget)
        self.hits = {"device": 0, "host": 0, "miss": 0}

    def check(self, plan: ReadPlan, own: Bytes) -> None:
        """Refuse what can never be held.

        Raises:
            MemoryTooLargeError: the memory is larger than a budget, alone.
        """
        needed = self.footprint.rows(plan) + self.footprint.view(plan) + own
        if not needed.within(self.residency.budget):
            budget = self.residency.budget
            raise MemoryTooLargeError(
                f"reading this memory takes {needed.device:,} bytes on the device and "
                f"{needed.host:,} on the host; this reader may use {budget.device:,} and "
                f"{budget.host:,}, so give it more"
            )

    def admit(self, plan: ReadPlan, own: Bytes) -> Hold | None:
        """Hold the memory of a plan for a question, from now or from when it is open.

        Returns:
            None if there is no room beside what other questions hold.
        """
        rows, view = self._find(plan)
        kept: list[Item] = [item for item in (rows, view) if item is not None]
        furthest = plan if rows is None else max(rows.plan, plan, key=end_of)
        cost = self.footprint.rows(furthest)
        more = own + (cost if rows is None else cost - rows.cost)
        if view is None:
            more += self.footprint.view(plan)
        if not self.residency.fits(more, kept):
            return None
        self.hits["device" if view else "host" if rows else "miss"] += 1
        if rows is None:
            rows = self._add_rows(plan, cost)
        self.residency.pin(rows)
        if view is None:
            rows.plan = furthest
            self.residency.grow(rows, cost)
            view = self._add_view(rows, plan)
        self.residency.pin(view)
        self.residency.unpin(rows)
        item = Item(object(), own)
        self.residency.add(item)
        self.residency.pin(item)
        return Hold(view, item)

    def release(self, hold: Hold) -> None:
        """The question is answered, or given up."""
        self.residency.forget(hold.own)
        self.residency.unpin(hold.own)
        self.residency.unpin(hold.view)

    def close(self, tenant: str) -> None:
        """Let go of a tenant's memory; questions that are reading it go on with theirs."""
        for item in list(self.residency.items()):
            if isinstance(item, _Rows) and item.plan.tenant == tenant:
                self.residency.forget(item)

    def count(self) -> tuple[int, int, int]:
        """Views that are prepared, memories that are open, and memories being worked on."""
        items = list(self.residency.items())
        views = sum(isinstance(item, View) and item.value is not None for item in items)
        rows = [item for item in items if isinstance(item, _Rows)]
        return views, sum(r.value is not None for r in rows), sum(r.busy for r in rows)

    def _find(self, plan: ReadPlan) -> tuple[_Rows | None, View | None]:
        rows = self.residency.get((plan.tenant, plan.head))
        if not isinstance(rows, _Rows) or not continues(rows.plan, plan, self._far):
            return None, None
        view = self.residency.get(plan.seen)
        return rows, view if isinstance(view, View) else None

    def _add_rows(self, plan: ReadPlan, cost: Bytes) -> _Rows:
        before = self.residency.get((plan.tenant, plan.head))
        if before is not None:  # opened from files that were merged since
            self.residency.forget(before)
        rows = _Rows(key=(plan.tenant, plan.head), cost=cost, plan=plan)
        self.residency.add(rows)
        return rows

    def _add_view(self, rows: _Rows, plan: ReadPlan) -> View:
        view = View(key=plan.seen, cost=self.footprint.view(plan), parent=rows, plan=plan)
        self.residency.add(view)
        self.residency.pin(view)  # by the thread that makes it
        rows.views.append(view)
        if not rows.busy:
            rows.busy = True
            self._pool.submit(self._open, rows)
        return view

    def _open(self, rows: _Rows) -> None:
        """Make the views of one memory that are asked for, one after the other."""
        while True:
            with self._lock:
                view = self._next(rows)
                if view is None:
                    return
                memory = rows.value
            error: MPlusError | None = None
            made = None
            try:
                memory = memory or OpenMemory(self._model, self._files, view.plan)
                made = memory.view(view.plan)
            except MPlusError as refused:
                error = refused.with_traceback(None)  # its frames hold tensors
            except Exception as broken:  # noqa: BLE001 - the thread serves other tenants too
                _log.exception("a memory could not be opened")
                error = MPlusError(f"a memory could not be opened: {broken!r}")
            with self._lock:
                rows.value, view.value = memory, made
                if error is None:
                    _order(rows, view)
                else:  # the next question tries it from the beginning
                    self.residency.forget(rows)
                del memory, made
                self.residency.unpin(view)
                self._opened(view, error)

    def _next(self, rows: _Rows) -> View | None:
        while rows.views:
            view = rows.views.popleft()
            if view.pins > 1:
                return view
            self.residency.forget(view)  # the question that asked for it has gone
            self.residency.unpin(view)
        rows.busy = False
        return None


def _order(rows: _Rows, view: View) -> None:
    """The newest step of a memory is not stale; the others are, and what is seen of one only by
    questions with a filter or about a time."""
    if _is_special(view.plan):
        view.stale = True
        return
    for other in rows.parts:
        if isinstance(other, View) and other is not view and not _is_special(other.plan):
            view.stale |= other.plan.step > view.plan.step
            other.stale |= other.plan.step <= view.plan.step


def _is_special(plan: ReadPlan) -> bool:
    return plan.only is not None or plan.order.until is not None
