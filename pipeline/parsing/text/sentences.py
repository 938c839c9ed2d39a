"""Rows of a table as sentences, which questions reach."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

from mplus_ray.pipeline.parsing.text.builder import one_line

_MOST_NAME = 100  # characters of a column's name, which every row repeats


def sentence(fields: Iterable[tuple[str, str]]) -> str:
    """`name: Mira Holt; town: Dorvas` of the fields that have a value."""
    parts = []
    for name, value in fields:
        if text := one_line(value):
            named = _label(name)
            parts.append(f"{named}: {text}" if named else text)
    return "; ".join(parts)


@lru_cache(1024)
def _label(name: str) -> str:
    """A column's name as it is told; every row asks for the same ones."""
    return one_line(name)[:_MOST_NAME].rstrip(": ")


def row_sentence(header: Sequence[str], row: Sequence[str]) -> str:
    """A sentence of a row; cells beyond the header have no name."""
    names = [*header, *[""] * (len(row) - len(header))]
    return sentence(zip(names, row, strict=False))
