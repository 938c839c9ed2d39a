"""Questions on passages, from a file of one JSON object a line.

{"title": "Oxygen", "context": "…", "question": "…", "answers": ["…", …]}
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from mplus_ray.model.errors import DocumentError, InvalidInputError

SHIPPED = Path(__file__).with_name("questions.jsonl")


@dataclass(frozen=True)
class Question:
    """A question and every answer that counts as right; none: the passage does not say.

    Attributes:
        text: what is asked.
        answers: the right ones.
    """

    text: str
    answers: tuple[str, ...]


@dataclass
class QuestionedPassage:
    """A context, once, with all questions that are asked of it.

    Attributes:
        title, context: of the text that has the answers.
        questions: all that are asked of it.
    """

    title: str
    context: str
    questions: list[Question] = field(default_factory=list)


def read_questions(path: Path) -> list[QuestionedPassage]:
    """The passages of a file in their order; lines with the same context are one passage.

    Raises:
        DocumentError: the file cannot be read, is empty, or a line is not as described above; the
            message names line and field.
    """
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DocumentError(f"{path} is not UTF-8 text (byte {error.start})") from error
    except OSError as error:
        raise DocumentError(f"{path} cannot be read: {error.strerror}") from error
    passages: dict[str, QuestionedPassage] = {}
    for number, line in enumerate(text.split("\n"), 1):  # not splitlines: JSON may hold U+2028
        if line.strip():
            title, context, question = _parse(line, f"{path}, line {number}")
            passages.setdefault(context, QuestionedPassage(title, context)).questions.append(
                question
            )
    if not passages:
        raise DocumentError(f"{path} has no questions in it; it needs one JSON object a line")
    return list(passages.values())


def _parse(line: str, where: str) -> tuple[str, str, Question]:
    try:
        row = json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        raise DocumentError(f"{where} is not valid JSON: {error}") from error
    if not isinstance(row, dict):
        raise DocumentError(f"{where} is not a JSON object with context, question and answers")
    title = row.get("title") or ""
    if not isinstance(title, str):
        raise DocumentError(f"{where}: title is not a text")
    context, question = (_text(row, name, where) for name in ("context", "question"))
    return title, context, Question(question, _answers(row.get("answers"), where))


def _text(row: dict[str, Any], name: str, where: str) -> str:
    if name not in row:
        raise DocumentError(f"{where} has no {name}")
    if not isinstance(row[name], str):
        raise DocumentError(f"{where}: {name} is not a text")
    if not row[name].strip():
        raise DocumentError(f"{where}: {name} is empty")
    return str(row[name])


def _answers(value: Any, where: str) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(answer, str) for answer in value):
        raise DocumentError(f"{where}: answers is not a list of texts")
    return tuple(dict.fromkeys(answer.strip() for answer in value if answer.strip()))


def answerable(passages: Sequence[QuestionedPassage]) -> tuple[list[QuestionedPassage], int]:
    """Passages with only those questions that have an answer, and how many have none.

    Passages stay also where no question does: they are text to tell beside the others.
    """
    kept = [
        QuestionedPassage(p.title, p.context, [q for q in p.questions if q.answers])
        for p in passages
    ]
    missing = sum(len(p.questions) for p in passages) - sum(len(p.questions) for p in kept)
    if not any(p.questions for p in kept):
        raise InvalidInputError("none of the questions has an answer, so nothing can be scored")
    return kept, missing


def draw(
    passages: Sequence[QuestionedPassage], limit: int | None, rng: Random
) -> list[QuestionedPassage]:
    """At most `limit` questions at random with their passages, in a random order."""
    pairs = [(at, q) for at, p in enumerate(passages) for q in p.questions]
    if limit is not None and limit < len(pairs):
        pairs = rng.sample(pairs, limit)
    drawn: dict[int, QuestionedPassage] = {}
    for at, question in sorted(pairs, key=lambda pair: pair[0]):
        passage = passages[at]
        drawn.setdefault(at, QuestionedPassage(passage.title, passage.context)).questions.append(
            question
        )
    chosen = list(drawn.values())
    rng.shuffle(chosen)
    return chosen
