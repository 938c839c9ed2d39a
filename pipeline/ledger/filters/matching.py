"""A filter in the ledger: the documents that it leaves, and their steps."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, Select, func, or_

from mplus_ray.model.memory.step_ranges import StepRanges
from mplus_ray.pipeline.ledger.filters.attributes import (
    METADATA,
    SESSION,
    TAG,
    number_of,
    value_of,
)
from mplus_ray.pipeline.ledger.filters.filter import Condition, Filter
from mplus_ray.pipeline.ledger.schema import attributes, documents
from mplus_ray.pipeline.ledger.tenant_scope import TenantScope
from mplus_ray.pipeline.parsing.document_id import storable


def matching(scope: TenantScope, wanted: Filter) -> list[ColumnElement[bool]]:
    """What must hold of a document's row."""
    d, held = documents.c, list[ColumnElement[bool]]()
    if wanted.sessions:
        held.append(d.id.in_(_having(scope, SESSION, *wanted.sessions)))
    held += [d.id.in_(_having(scope, TAG, tag)) for tag in wanted.tags]
    if wanted.ids:
        held.append(d.key.in_([storable(one) for one in wanted.ids]))
    held += [_holds(scope, one) for one in wanted.metadata]
    occurred = func.coalesce(d.occurred_at, d.created)
    if wanted.after is not None:
        held.append(occurred >= wanted.after)
    if wanted.before is not None:
        held.append(occurred < wanted.before)
    return held


def steps_of(connection: Connection, scope: TenantScope, wanted: Filter) -> StepRanges:
    """The steps, in the numbering of the head that serves, of the documents that a filter leaves;
    without those that are being forgotten."""
    d = documents.c
    query = scope.select(documents, d.first_step, d.chunk_count).where(
        d.forget.is_(None), *matching(scope, wanted)
    )
    rows = connection.execute(query)
    return StepRanges.of((first, first + count) for first, count in rows)


def _having(scope: TenantScope, name: str, *values: str | float | bool) -> Select[tuple[str]]:
    """Ids of the documents that have one of these values."""
    a = attributes.c
    texts = [value_of(value) for value in values]
    return scope.select(attributes, a.document).where(a.name == name, a.value.in_(texts))


def _holds(scope: TenantScope, condition: Condition) -> ColumnElement[bool]:
    a, d = attributes.c, documents.c
    name = storable(METADATA + condition.name)
    if condition.operator == "in":
        return d.id.in_(_having(scope, name, *condition.values))
    if condition.operator == "ne":
        return d.id.not_in(_having(scope, name, *condition.values))
    there = scope.select(attributes, a.document)
    if condition.operator == "exists":
        inside = or_(a.name == name, a.name.startswith(f"{name}.", autoescape=True))
        named = there.where(inside)
        return d.id.in_(named) if condition.values[0] else d.id.not_in(named)
    (bound,) = condition.values
    number = number_of(bound)
    side: ColumnElement[bool]
    if number is not None:
        side = _compared(a.number, condition.operator, number)
    else:
        side = a.number.is_(None) & _compared(a.value, condition.operator, storable(str(bound)))
    return d.id.in_(there.where(a.name == name, side))


def _compared(
    column: ColumnElement[float] | ColumnElement[str], operator: str, bound: float | str
) -> ColumnElement[bool]:
    """A column against a bound."""
    if operator == "gt":
        return column > bound
    if operator == "gte":
        return column >= bound
    return column < bound if operator == "lt" else column <= bound
