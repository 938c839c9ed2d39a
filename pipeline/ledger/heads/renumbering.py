"""A log as it is counted without some of its documents."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from sqlalchemy import Connection

from mplus_ray.model.errors import InvalidInputError
from mplus_ray.pipeline.ledger.schema import documents
from mplus_ray.pipeline.ledger.tenant_scope import TenantScope


@dataclass(frozen=True)
class StepMap:
    """Maps steps of the log to steps of a head that leaves documents out, and back.

    Attributes:
        ranges: (first step, end) of each document left out, in order, in the log's numbering.
    """

    ranges: tuple[tuple[int, int], ...] = ()

    def before(self, step: int) -> int:
        """How many of the log's steps below `step` are left out."""
        return sum(max(0, min(end, step) - first) for first, end in self.ranges)

    def to_head(self, step: int) -> int:
        """The head's number of the log's `step`; for one left out, that of the next one kept."""
        return step - self.before(step)

    def to_log(self, step: int) -> int:
        """The log's number of the head's `step`."""
        for first, end in self.ranges:
            if step < first:
                break
            step += end - first
        return step


def step_map(connection: Connection, scope: TenantScope, ids: Collection[str]) -> StepMap:
    """The steps of these documents.

    Raises:
        InvalidInputError: the tenant has no such document.
    """
    if not ids:
        return StepMap()
    query = (
        scope.select(documents, documents.c.first_step, documents.c.chunk_count)
        .where(documents.c.id.in_(ids))
        .order_by(documents.c.first_step)
    )
    found = ranges((row.first_step, row.chunk_count) for row in connection.execute(query))
    if len(found) != len(set(ids)):
        raise InvalidInputError(
            f"{len(set(ids)) - len(found)} of the documents to leave out are not in the log; "
            "read the pending forget requests again"
        )
    return StepMap(found)


def ranges(rows: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """(first step, count) as (first step, end)."""
    return tuple((first, first + count) for first, count in rows)
