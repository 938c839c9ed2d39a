"""Options that say which documents a command is about."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from mplus_ray.model.errors import InvalidInputError

if TYPE_CHECKING:
    from mplus_ray.pipeline.ledger.filters.filter import Condition, Filter

_COMPARISON = re.compile(r"\s*([^=<>!]+?)\s*(>=|<=|!=|=|>|<)\s*(.*?)\s*", re.DOTALL)
_OPERATORS = {"=": "eq", "!=": "ne", ">": "gt", ">=": "gte", "<": "lt", "<=": "lte"}

SessionOption = Annotated[
    list[str] | None,
    typer.Option(
        "--session",
        metavar="NAME",
        help="Only documents of this session; may be given several times.",
        show_default=False,
    ),
]
TagOption = Annotated[
    list[str] | None,
    typer.Option(
        "--tag",
        metavar="TAG",
        help="Only documents that have this tag; with several, all of them.",
        show_default=False,
    ),
]
WhereOption = Annotated[
    list[str] | None,
    typer.Option(
        "--where",
        metavar="FIELD=VALUE",
        help="Only documents whose metadata says so; also !=, <, <=, > and >=, and FIELD alone if "
        "it is there. Of several all must hold.",
        show_default=False,
    ),
]
AfterOption = Annotated[
    str | None,
    typer.Option(
        "--after",
        metavar="TIME",
        help="Only documents that tell of this time or a later one (local unless it says "
        "otherwise).",
        show_default=False,
    ),
]
BeforeOption = Annotated[
    str | None,
    typer.Option(
        "--before",
        metavar="TIME",
        help="Only documents that tell of an earlier time.",
        show_default=False,
    ),
]


def filter_of(
    session: Sequence[str] | None,
    tag: Sequence[str] | None,
    where: Sequence[str] | None,
    after: str | None,
    before: str | None,
) -> Filter | None:
    """What these options say; None if that is nothing.

    Raises:
        InvalidInputError: a comparison or a time is none.
    """
    from mplus_ray.pipeline.ledger.filters.filter import Filter
    from mplus_ray.pipeline.parsing.details import parse_time

    wanted = Filter(
        tuple(session or ()),
        tuple(tag or ()),
        metadata=tuple(one for text in where or () for one in _conditions(text)),
        after=None if after is None else parse_time(after),
        before=None if before is None else parse_time(before),
    )
    return wanted or None


def _conditions(text: str) -> tuple[Condition, ...]:
    from mplus_ray.pipeline.ledger.filters.filter import conditions_of

    parts = _COMPARISON.fullmatch(text)
    if parts is not None:
        name, operator, value = parts.groups()
        return conditions_of({name: {_OPERATORS[operator]: value}})
    if not text.strip() or not text.isprintable() or any(sign in text for sign in "=<>!"):
        raise InvalidInputError(f"--where {text[:80]!r}: write FIELD=VALUE, FIELD>=VALUE or FIELD")
    return conditions_of({text.strip(): {"exists": True}})
