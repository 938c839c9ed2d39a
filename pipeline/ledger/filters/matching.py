"""A filter in the ledger: the documents that it leaves, and their steps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Connection,
    Select,
    func,
    intersect,
    or_,
)

from mplus_ray.model.memory.step_ranges import StepRanges
from mplus_ray.pipeline.ledger.filters.attributes import (
    HASHED,
    SESSION,
    TAG,
    name_of,
    number_of,
    value_of,
)
from mplus_ray.pipeline.ledger.filters.filter import Condition, Filter
from mplus_ray.pipeline.ledger.schema import attributes, documents
from mplus_ray.pipeline.ledger.tenant_scope import TenantScope
from mplus_ray.pipeline.parsing.document_id import storable

_COMPARISONS = ("gt", "gte", "lt", "lte")


def matching(scope: TenantScope, wanted: Filter) -> list[ColumnElement[bool]]:
    """What must hold of a document's row."""
    chosen = _chosen(scope, wanted)
    return [*_others(scope, wanted), *([] if chosen is None else [documents.c.id.in_(chosen)])]


def steps_of(connection: Connection, scope: TenantScope, wanted: Filter) -> StepRanges:
    """The steps, in the numbering of the head that serves, of the documents that a filter leaves;
    without those that are being forgotten."""
    d, chosen = documents.c, _chosen(scope, wanted)
    query = scope.select(documents, d.first_step, d.chunk_count)
    if chosen is not None:
        # A join: from the few that a filter names to their rows, not through all rows.
        named = chosen.subquery()
        query = query.join(named, d.id == named.c.document)
    rows = connection.execute(query.where(d.forget.is_(None), *_others(scope, wanted)))
    return StepRanges.of((first, first + count) for first, count in rows)


def _chosen(scope: TenantScope, wanted: Filter) -> CompoundSelect[tuple[str]] | None:
    """Ids of the documents that have all that a filter asks for by name and value; None if it
    asks for nothing such."""
    each = [_having(scope, TAG, tag) for tag in dict.fromkeys(wanted.tags)]
    if wanted.sessions:
        each.append(_having(scope, SESSION, *wanted.sessions))
    between: dict[str, list[Condition]] = defaultdict(list)
    for one in wanted.metadata:
        if one.operator in _COMPARISONS:
            between[one.name].append(one)
        elif one.operator == "in":
            each.append(_having(scope, _name(one), *one.values))
        elif not _is_absence(one):
            each.append(_named(scope, _name(one)))
    each += [_between(scope, conditions) for conditions in between.values()]
    return intersect(*each) if each else None


def _others(scope: TenantScope, wanted: Filter) -> list[ColumnElement[bool]]:
    """What else must hold of a document's row."""
    d, held = documents.c, list[ColumnElement[bool]]()
    if wanted.ids:
        held.append(d.key.in_([storable(one) for one in wanted.ids]))
    held += [d.id.not_in(_without(scope, one)) for one in wanted.metadata if _is_absence(one)]
    occurred = func.coalesce(d.occurred_at, d.created)
    if wanted.after is not None:
        held.append(occurred >= wanted.after)
    if wanted.before is not None:
        held.append(occurred < wanted.before)
    return held


def _having(scope: TenantScope, name: str, *values: str | float | bool) -> Select[tuple[str]]:
    """Ids of the documents that have one of these values."""
    a = attributes.c
    texts = [value_of(value) for value in values]
    return scope.select(attributes, a.document).where(a.name == name, a.value.in_(texts))


def _is_absence(condition: Condition) -> bool:
    """Whether it holds of documents that lack something."""
    return condition.operator == "ne" or (condition.operator, condition.values) == (
        "exists",
        (False,),
    )


def _without(scope: TenantScope, condition: Condition) -> Select[tuple[str]]:
    """Ids of the documents of which a condition of absence does not hold."""
    if condition.operator == "ne":
        return _having(scope, _name(condition), *condition.values)
    return _named(scope, _name(condition))


def _between(scope: TenantScope, conditions: Sequence[Condition]) -> Select[tuple[str]]:
    """Ids of the documents with a value in a field for which all of these comparisons hold."""
    a = attributes.c
    sides = [a.name == _name(conditions[0])]
    for condition in conditions:
        (bound,) = condition.values
        number = number_of(bound)
        letters = _compared(a.value, condition.operator, storable(str(bound)))
        letters = letters & ~a.value.startswith(HASHED)  # a hash has no order
        if number is None:
            sides.append(letters)
            continue
        side = _compared(a.number, condition.operator, number)
        sides.append(or_(side, a.number.is_(None) & letters) if isinstance(bound, str) else side)
    return scope.select(attributes, a.document).where(*sides)


def _name(condition: Condition) -> str:
    """Of the rows that a condition looks at."""
    return name_of(condition.name)


def _named(scope: TenantScope, name: str) -> Select[tuple[str]]:
    """Ids of the documents that have a field, or fields in it."""
    a = attributes.c
    below = (a.name >= f"{name}.") & (a.name < f"{name}/")  # "/" follows "."
    inside = or_(a.name == name, below)
    return scope.select(attributes, a.document).where(inside)


def _compared(
    column: ColumnElement[float] | ColumnElement[str], operator: str, bound: float | str
) -> ColumnElement[bool]:
    """A column against a bound."""
    if operator == "gt":
        return column > bound
    if operator == "gte":
        return column >= bound
    return column < bound if operator == "lt" else column <= bound
