"""The time that a question is about is told from other numbers."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mplus_ray.pipeline.reading.moment import moment_of


@pytest.mark.parametrize(
    ("question", "day_after"),
    [
        ("Where did Maren live in 2020?", (2021, 1, 1)),
        ("Who was mayor in March 2021?", (2021, 4, 1)),
        ("Who was mayor on 4 March 2021?", (2021, 3, 5)),
        ("What was the price on 2021-03-04?", (2021, 3, 5)),
        ("Who was king in 1066?", (1067, 1, 1)),
        ("Where did Maren live before 2020?", (2020, 1, 1)),
        ("Where did Maren live until March 2021?", (2021, 3, 1)),
        ("Since 2015, who is the head?", (2016, 1, 1)),
    ],
)
def test_a_day_a_month_a_year(question: str, day_after: tuple[int, int, int]) -> None:
    assert moment_of(question) == datetime(*day_after, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    "question",
    [
        "Where does Maren live?",
        "Who won Super Bowl 50?",
        "What may happen on a Sunday in May?",
        "What happened in the 1990s?",
        "Who works in room 1204?",
        "How many of the 2000 seats may be sold?",
        "Is 12345 or 555 2020111 her number?",
        "",
    ],
)
def test_a_question_without_a_year_names_no_time(question: str) -> None:
    assert moment_of(question) is None
