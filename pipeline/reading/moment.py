"""The time that a question is about, where it names one."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Literal

_YEAR = re.compile(r"(?<!\d)(1[0-9]{3}|2[01][0-9]{2})(?!\d)", re.ASCII)
# A number of four digits alone is a year where such a word stands before it.
_LEADS = frozenset(["in", "during", "by", "since", "after", "before", "until", "till", "for"])
_SMALL = frozenset(["of", "the", "on", "at", *_LEADS])
_UP_TO = frozenset(["before", "until", "till"])
_DAY = 86_400.0  # seconds
_LONGEST = 1000  # characters of a question that are looked at


def moment_of(question: str) -> float | None:
    """The end of the day, month or year that a question names last ("in 2020", "in March 2021",
    "on 4 March 2021"), and of "before 2020" its beginning; in seconds since the epoch and UTC.
    None of a question that names no year.
    """
    text = question[:_LONGEST]
    if not _YEAR.search(text):
        return None
    for said, end in reversed(_dates(text, "last")):
        at = text.rindex(said)
        *words, last = [*text[:at].casefold().split()[-1:], *said.casefold().split()]
        if _YEAR.fullmatch(last) and set(words[1:]) <= _SMALL and not {*words[-1:]} & _LEADS:
            continue  # a number
        if _UP_TO.isdisjoint(words[:2]):
            return end.timestamp() + _DAY
        begins = dict(_dates(text, "first"))
        return begins[said].timestamp() if said in begins else end.timestamp()
    return None


def _dates(text: str, which: Literal["first", "last"]) -> list[tuple[str, datetime]]:
    """Words that name a day, and that day; of a month or a year its first or last one."""
    # Brings the names of months in English, and is not needed by most questions.
    from dateparser.search import search_dates

    settings = {
        "REQUIRE_PARTS": ["year"],
        "PREFER_DAY_OF_MONTH": which,
        "PREFER_MONTH_OF_YEAR": which,
        "DATE_ORDER": "DMY",
        "RETURN_AS_TIMEZONE_AWARE": True,
        "TIMEZONE": "UTC",
    }
    found = search_dates(text, languages=["en"], settings=settings) or []
    days = [(said, day.replace(hour=0, minute=0, second=0, microsecond=0)) for said, day in found]
    return [(said, day) for said, day in days if str(day.year) in _YEAR.findall(said)]
