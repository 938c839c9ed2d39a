"""A filter: which documents of a tenant are meant."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from mplus_ray.model.errors import InvalidInputError
from mplus_ray.pipeline.parsing.limits import MAX_TAGS

Operator = Literal["in", "ne", "exists", "gt", "gte", "lt", "lte"]
OPERATORS: tuple[Operator, ...] = ("in", "ne", "exists", "gt", "gte", "lt", "lte")
Scalar = str | int | float | bool

MAX_VALUES = 1000  # of one list
MAX_CONDITIONS = 50
MAX_TOTAL = 5000  # values of all lists


@dataclass(frozen=True)
class Condition:
    """What a field of a document's metadata has to be.

    Values are compared as texts, so that 5, "5" and 5.0 are the same. The order of two numbers,
    also of such that are written as texts, is that of numbers. A bound that is a text is compared
    with other texts by their letters, which is right for ISO 8601 times of one form.

    Attributes:
        name: of the field; of an entry in a nested object, its path with dots.
        operator: `in`: one of the values, or a list that holds one of them; `ne`: none of these is
            there; `exists`: a value is there (null and an empty list are none), or is not, by the
            only value; the others compare.
        values: what is compared with; one, except for `in` and `ne`.
    """

    name: str
    operator: Operator
    values: tuple[Scalar, ...]


@dataclass(frozen=True)
class Filter:
    """Documents for which all of this holds; one of which nothing is said means all documents.

    Attributes:
        sessions: their session is one of these; empty: any.
        tags: they have all of these.
        ids: they are called so; empty: any.
        metadata: conditions on their metadata.
        after, before: what they tell of happened in after ≤ t < before (seconds since the epoch),
            by their `occurred_at`, or where they have none, when they were taken in.
    """

    sessions: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    metadata: tuple[Condition, ...] = ()
    after: float | None = None
    before: float | None = None

    def __post_init__(self) -> None:
        """
        Raises:
            InvalidInputError: it is too large, or no time lies between `after` and `before`.
        """
        longest = max(map(len, (self.sessions, self.tags, self.ids)))
        longest = max([longest, *(len(one.values) for one in self.metadata)])
        total = len(self.sessions) + len(self.ids) + sum(len(one.values) for one in self.metadata)
        many = longest > MAX_VALUES or total > MAX_TOTAL
        if many or len(self.metadata) > MAX_CONDITIONS or len(set(self.tags)) > MAX_TAGS:
            raise InvalidInputError(
                f"a filter has at most {MAX_TAGS} tags and {MAX_CONDITIONS} conditions of "
                f"{MAX_VALUES:,} values each, {MAX_TOTAL:,} together; ask with fewer, or give the "
                "documents a tag that says what they have in common"
            )
        if self.after is not None and self.before is not None and self.after >= self.before:
            raise InvalidInputError("no time is at or after `after` and before `before`")

    def __bool__(self) -> bool:
        return self != Filter()


def conditions_of(metadata: Mapping[str, Any]) -> tuple[Condition, ...]:
    """Conditions as people write them: `{"author": "Ilse", "year": {"gte": 2020}, "kind": ["a"]}`.

    Raises:
        InvalidInputError: what cannot be compared, with the name of its field.
    """
    found: list[Condition] = []
    for name, wanted in metadata.items():
        if isinstance(wanted, Mapping):
            if not wanted:
                raise InvalidInputError(f"{name}: an empty object asks for nothing; leave it out")
            found += [_condition(name, operator, value) for operator, value in wanted.items()]
        else:
            found.append(_condition(name, "in", wanted))
    return tuple(found)


def _condition(name: str, operator: str, value: Any) -> Condition:
    if operator == "eq":
        operator = "in"
    known = next((one for one in OPERATORS if one == operator), None)
    if known is None:
        raise InvalidInputError(
            f"{name}: {operator[:40]!r} is no comparison; there are eq, {', '.join(OPERATORS)}"
        )
    if known == "exists" and not isinstance(value, bool):
        raise InvalidInputError(f"{name}: exists is true or false")
    values = tuple(value) if known in ("in", "ne") and isinstance(value, list) else (value,)
    if known not in ("in", "ne", "exists") and isinstance(value, bool):
        raise InvalidInputError(f"{name}: true and false have no order; compare them with eq")
    if any(isinstance(one, float) and not math.isfinite(one) for one in values):
        raise InvalidInputError(f"{name}: a number is not finite")
    if not all(isinstance(one, Scalar) for one in values):
        raise InvalidInputError(
            f"{name}: a value is a text, a number, true or false; for the fields of an object "
            'write its path, such as "author.name"'
        )
    return Condition(name, known, values)
