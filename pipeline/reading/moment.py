"""The time that a question is about, where it names one."""

from __future__ import annotations

import re

_YEAR = re.compile(r"(?<!\d)(1[0-9]{3}|2[01][0-9]{2})(?!\d)", re.ASCII)
_DAY = 86_400.0  # seconds
_LONGEST = 1000  # characters of a question that are looked at
_SETTINGS = {
    "REQUIRE_PARTS": ["year"],
    "PREFER_DAY_OF_MONTH": "last",
    "PREFER_MONTH_OF_YEAR": "last",
    "RETURN_AS_TIMEZONE_AWARE": True,
    "TIMEZONE": "UTC",
}


def moment_of(question: str) -> float | None:
    """The end of the day, month or year that a question names last ("in 2020", "in March 2021",
    "on 4 March 2021"), in seconds since the epoch and UTC; None of a question that names no year.
    """
    if not _YEAR.search(question[:_LONGEST]):
        return None
    # Brings the names of months in English, and is not needed by most questions.
    from dateparser.search import search_dates

    found = search_dates(question[:_LONGEST], languages=["en"], settings=_SETTINGS) or []
    named = [time for text, time in found if str(time.year) in _YEAR.findall(text)]
    return named[-1].replace(hour=0, minute=0, second=0).timestamp() + _DAY if named else None
