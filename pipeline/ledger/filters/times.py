"""When what documents tell of happened, as an order of their steps."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate

from sqlalchemy import Connection

from mplus_ray.model.memory.step_order import StepOrder
from mplus_ray.pipeline.ledger.schema import documents
from mplus_ray.pipeline.ledger.tenant_scope import TenantScope


def read_order(
    connection: Connection, scope: TenantScope, moment: float | None = None
) -> StepOrder:
    """The places of documents with an `occurred_at` between those that were taken in before and
    after that time, in the numbering of the head that serves.

    Args:
        moment: up to which a question asks (seconds since the epoch); None: now.
    """
    d = documents.c
    dated = scope.select(documents, d.id).where(d.occurred_at.is_not(None)).limit(1)
    if moment is None and connection.execute(dated).first() is None:
        return StepOrder()
    log = _Log.read(connection, scope)
    placed = [
        (log.firsts[place], log.ends[place], log.place(time, rank))
        for rank, (time, place) in enumerate(log.dated, 1)
    ]
    order = StepOrder.of(placed)
    if moment is None:
        return order
    # What had happened by then, or was taken in, comes before it.
    passed = bisect_right([time for time, _ in log.dated], moment)
    return StepOrder(order.data, until=log.place(moment, passed + 0.5))


@dataclass(frozen=True)
class _Log:
    """When documents were taken in, in their order, and when what they tell of happened.

    Attributes:
        taken_in: seconds since the epoch, ascending.
        firsts, ends: their steps are first … end - 1.
        dated: (time, number) of those that say when, by time.
    """

    taken_in: list[float]
    firsts: list[int]
    ends: list[int]
    dated: list[tuple[float, int]]

    @classmethod
    def read(cls, connection: Connection, scope: TenantScope) -> _Log:
        d = documents.c
        columns = (d.first_step, d.chunk_count, d.created, d.occurred_at)
        rows = connection.execute(scope.select(documents, *columns).order_by(d.first_step)).all()
        # A clock may have gone backwards; what came later counts as later all the same.
        taken_in = accumulate((row.created for row in rows), max)
        dated = [(row.occurred_at, n) for n, row in enumerate(rows) if row.occurred_at is not None]
        ends = [row.first_step + row.chunk_count for row in rows]
        return cls(list(taken_in), [row.first_step for row in rows], ends, sorted(dated))

    def place(self, time: float, rank: float) -> float:
        """Between the last step taken in by a time and the next one.

        Args:
            rank: among the times of `dated`, which keep their own order there; from 1.
        """
        before = bisect_right(self.taken_in, time)
        last = self.ends[before - 1] if before else 0
        return last - 0.5 + rank / (len(self.dated) + 1) / 2
