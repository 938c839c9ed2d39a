"""Conditions of LangGraph's filters: what the service can leave out, and what is left to check."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

_LONGEST = 200  # characters of a value that documents are filtered by
_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
}


def is_so(value: Any, wanted: Any) -> bool:
    """Whether a value is as a filter wants it.

    Raises:
        ValueError: the filter has an operator that there is not.
    """
    if isinstance(wanted, Mapping) and any(str(name).startswith("$") for name in wanted):
        return all(_holds(value, name, than) for name, than in wanted.items())
    if isinstance(wanted, Mapping):
        return isinstance(value, Mapping) and all(
            is_so(value.get(name), each) for name, each in wanted.items()
        )
    return bool(value == (list(wanted) if isinstance(wanted, tuple) else wanted))


def narrowed(wanted: Mapping[str, Any], under: str) -> dict[str, Any]:
    """The conditions that the service can judge: of fields that are texts or numbers, by their
    path in a document's metadata. It leaves no document out that `is_so` would keep.
    """
    found: dict[str, Any] = {}
    for name, value in wanted.items():
        if "." in name or not name.isidentifier():
            continue
        if _is_plain(value):
            found[f"{under}.{name}"] = value
        elif isinstance(value, Mapping) and value and set(value) <= {*_ORDER, "$eq"}:
            numbers = all(_is_number(each) for each in value.values())
            if numbers:
                found[f"{under}.{name}"] = {key.removeprefix("$"): v for key, v in value.items()}
    return found


def _holds(value: Any, name: str, than: Any) -> bool:
    if name == "$eq":
        return bool(value == than)
    if name == "$ne":
        return bool(value != than)
    if name not in _ORDER:
        raise ValueError(f"there is no operator {name!r}; there are $eq, $ne, {', '.join(_ORDER)}")
    try:
        return _ORDER[name](float(value), float(than))
    except (TypeError, ValueError):
        return False  # what is no number is neither more nor less


def _is_plain(value: Any) -> bool:
    text = isinstance(value, str) and 0 < len(value) <= _LONGEST
    return text or _is_number(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
