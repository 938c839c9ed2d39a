"""The numbers of a command's JSON, one a row, with their spreads.

A spread stands beside its number as `low` and `high`, `p99` and `n` of the same object, or as
`NAME_low` and `NAME_high` beside `NAME`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_MIDDLES = ("median", "p50")
_BOUNDS = ("low", "high", "n")
_NOT_FIGURES = ("machine", "replies", "settings", "extent")


def rows_of(figures: Any, place: tuple[str, ...] = ()) -> Iterator[tuple[str, str, str]]:
    """(name, value, spread) of every number in a command's JSON."""
    if isinstance(figures, Mapping):
        spread = spread_in(figures)
        used = set(_NOT_FIGURES)
        if spread is not None:
            name, text = spread
            here = place if name in _MIDDLES else (*place, name)
            yield _named(here), number(figures[name]), text
            used |= {name, "p99"}
        if spread is not None or {"low", "high"} <= figures.keys():  # bounds of nothing otherwise
            used |= set(_BOUNDS)
        for name, value in figures.items():
            low, high = (figures.get(f"{name}_{end}") for end in ("low", "high"))
            if name in used:
                continue
            if is_number(value) and is_number(low) and is_number(high):
                yield _named((*place, name)), number(value), f"{number(low)} to {number(high)}"
                used |= {f"{name}_low", f"{name}_high"}
            else:
                yield from rows_of(value, (*place, name))
    elif is_number(figures):
        yield _named(place), number(figures), ""


def number(value: Any) -> str:
    """Three digits of a number, or all of a whole one."""
    if not math.isfinite(value):
        return "none"
    if isinstance(value, int) or value == int(value):
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def spread_in(figures: Mapping[str, Any]) -> tuple[str, str] | None:
    """The name of the number that bounds in the same object are of, and the bounds as text."""
    ends = [name for name in ("low", "high") if is_number(figures.get(name))]
    names = [name for name in figures if name not in (*_BOUNDS, "p99")]
    middle = next((name for name in names if name in _MIDDLES), None)
    if middle is None and len(ends) == 2:
        middle = next((name for name in names if is_number(figures[name])), None)
    if middle is None or not is_number(figures[middle]):
        return None
    texts = [" to ".join(number(figures[name]) for name in ends)] if len(ends) == 2 else []
    if is_number(figures.get("p99")):
        texts.append(f"p99 {number(figures['p99'])}")
    if is_number(figures.get("n")):
        texts.append(f"n = {figures['n']:,}")
    return middle, ", ".join(texts)


def _named(place: Sequence[str]) -> str:
    return " · ".join(str(name).replace("_", " ") for name in place)


def is_number(value: Any) -> bool:
    """Whether it is one; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)
