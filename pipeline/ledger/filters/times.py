"""When what documents tell of happened, as an order of their steps."""

from __future__ import annotations

import numpy as np
from sqlalchemy import Connection

from mplus_ray.model.memory.step_order import StepOrder
from mplus_ray.pipeline.ledger.schema import documents
from mplus_ray.pipeline.ledger.tenant_scope import TenantScope


def read_order(connection: Connection, scope: TenantScope) -> StepOrder:
    """The places of documents with an `occurred_at` between those that were taken in before and
    after that time, in the numbering of the head that serves."""
    d = documents.c
    columns = (d.first_step, d.chunk_count, d.created, d.occurred_at)
    dated = scope.select(documents, d.id).where(d.occurred_at.is_not(None)).limit(1)
    if connection.execute(dated).first() is None:
        return StepOrder()
    rows = connection.execute(scope.select(documents, *columns).order_by(d.first_step)).all()
    # A clock may have gone backwards; what came later counts as later all the same.
    taken_in = np.maximum.accumulate([row.created for row in rows])
    ends = [row.first_step + row.chunk_count for row in rows]
    moved = sorted(
        (row.occurred_at, place) for place, row in enumerate(rows) if row.occurred_at is not None
    )
    placed = []
    for rank, (time, place) in enumerate(moved):
        before = int(np.searchsorted(taken_in, time, side="right"))
        between = (ends[before - 1] if before else 0) - 0.5
        fraction = (rank + 1) / (len(moved) + 1) / 2  # their own order between two steps
        placed.append((rows[place].first_step, ends[place], between + fraction))
    return StepOrder.of(placed)
