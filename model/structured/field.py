"""One field of a form: what is asked for it, and what comes back."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from mplus_ray.model.structured.constraint import Constraint

Path: TypeAlias = tuple[str | int, ...]
T = TypeVar("T")


@dataclass(frozen=True)
class FieldQuestion:
    """What memory is asked for a field.

    Attributes:
        path: names and places from the outermost object to the field.
        question: in words.
        constraint: the form of the answer; None for any.
    """

    path: Path
    question: str
    constraint: Constraint | None = None


@dataclass(frozen=True)
class FieldAnswer:
    """What memory says to it.

    Attributes:
        text: the answer; "" if memory does not hold one.
    """

    text: str


# Yields what is to be asked at once, gets as many answers, and ends with what it makes of them.
Filling: TypeAlias = Generator[list[FieldQuestion], list[FieldAnswer], T]


def step(
    filling: Filling[T], answers: list[FieldAnswer] | None
) -> tuple[list[FieldQuestion], T | None]:
    """Go on with a filling.

    Args:
        answers: to the questions before; None at the beginning.

    Returns:
        What is asked next, or, if that is nothing, what the filling has come to.
    """
    try:
        return (next(filling) if answers is None else filling.send(answers)), None
    except StopIteration as end:
        return [], end.value


def together(fillings: list[Filling[Any]]) -> Filling[list[Any]]:
    """All of these at once: each round has the questions of all that are not done."""
    results: list[Any] = [None] * len(fillings)
    waiting: dict[int, list[FieldQuestion]] = {}

    def go_on(place: int, answers: list[FieldAnswer] | None) -> None:
        try:
            filling = fillings[place]
            waiting[place] = next(filling) if answers is None else filling.send(answers)
        except StopIteration as end:
            results[place] = end.value
            waiting.pop(place, None)

    for place in range(len(fillings)):
        go_on(place, None)
    while waiting:
        asked = list(waiting.items())
        answers = yield [question for _, questions in asked for question in questions]
        for place, questions in asked:
            own, answers = answers[: len(questions)], answers[len(questions) :]
            go_on(place, own)
    return results
