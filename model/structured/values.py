"""From an answer in words to a JSON value of a field, and the form in which it can be told."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

from mplus_ray.model.structured.constraint import Constraint

_SMALL = tuple(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen twenty".split()
)
_SCALES = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12}
_NUMBER = re.compile(
    r"(?P<sign>-?)[$£€]?(?P<digits>(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?|[a-z]+)%?"
    rf"(?: (?P<scale>{'|'.join(_SCALES)})\b)?(?: [^0-9]*)?",
    re.IGNORECASE,
)
# With thousands, scale and unit, so that "12,345", "3 million" and "14 metres" do not have to end
# before the model would end them: what is cut short is another number, and unlikely.
NUMBER = Constraint(
    regex=r"-?[$£€]?(([0-9]{1,3}(,[0-9]{3}){1,6}|[0-9]{1,20})(\.[0-9]{1,12})?%?"
    rf"|(?i:{'|'.join(_SMALL)}))( (?i:{'|'.join(_SCALES)}))?( [a-z/²°]{{1,20}}){{0,3}}"
)
YES_OR_NO = Constraint(regex=r"(?i:yes|no)")
UNKNOWN_WORDS = frozenset(
    (
        "unknown",
        "not said",
        "not stated",
        "not known",
        "unspecified",
        "not specified",
        "n/a",
        "none",
    )
)
_SPACES = re.compile(r"\s{2,}")
_APART = re.compile(r"\s*(?:[;\n]|,(?![0-9]{3}(?![0-9])))\s*(?:and\s+|or\s+)?|\s+and\s+|\s+&\s+")


def choice_of(choices: Sequence[Any]) -> Constraint:
    """One of these, as `chosen` reads it."""
    return Constraint(regex=f"(?i:{_alternatives(choices)})")


def choices_of(choices: Sequence[Any]) -> Constraint:
    """Any of these, one after another."""
    one = f"(?i:{_alternatives(choices)})"
    return Constraint(regex=f"{one}(, {one}){{0,{len(choices) - 1}}}")


def _alternatives(choices: Sequence[Any]) -> str:
    escaped = (re.escape(shown(choice)).replace("\\ ", " ") for choice in choices)
    return "|".join(sorted(escaped, key=len, reverse=True))


def shown(value: Any) -> str:
    """A value in words."""
    return value.replace("_", " ") if isinstance(value, str) else json.dumps(value)


def chosen(text: str, choices: Sequence[Any]) -> Any:
    """The choice that a text is; None if it is none."""
    said = text.casefold()
    exact = [choice for choice in choices if shown(choice) == text]
    alike = [choice for choice in choices if shown(choice).casefold() == said]
    return (exact or alike or [None])[0]


def number(text: str) -> Decimal | None:
    """The number that a text is, with its scale; None if it is none."""
    match = _NUMBER.fullmatch(text.strip().rstrip("."))
    if match is None:
        return None
    digits = match["digits"].replace(",", "").casefold()
    try:
        size = Decimal(_SMALL.index(digits) if digits in _SMALL else digits)
    except InvalidOperation:
        return None
    scale = match["scale"]
    if scale and scale.casefold() not in _SCALES:
        return None
    size = size.scaleb(_SCALES[scale.casefold()]) if scale else size
    return -size if match["sign"] else size


def as_json(size: Decimal, whole: bool) -> int | float | None:
    """A number as JSON has it.

    Args:
        whole: it is to be an integer; None if it is none.
    """
    if size == size.to_integral_value():
        return int(size)
    return None if whole else float(size)


def day(text: str) -> str | None:
    """The date that a text tells, as ISO 8601 has it; None if day, month or year is missing."""
    import dateparser  # takes a third of a second

    try:
        return date.fromisoformat(text.strip()).isoformat()
    except ValueError:
        pass
    settings = {"REQUIRE_PARTS": ["day", "month", "year"], "RETURN_AS_TIMEZONE_AWARE": False}
    found = dateparser.parse(text, languages=["en"], settings=settings)
    return found.date().isoformat() if found else None


def says_unknown(value: Any) -> bool:
    """Whether a value says that nothing is known."""
    return isinstance(value, str) and value.casefold().replace("_", " ") in UNKNOWN_WORDS


def parts(text: str) -> list[str]:
    """What a text lists, each once."""
    text = _SPACES.sub(lambda run: "\n" if "\n" in run[0] else " ", text)  # long runs take time
    found = [part.strip(" .") for part in _APART.split(text)]
    return list(dict.fromkeys(part for part in found if part))
