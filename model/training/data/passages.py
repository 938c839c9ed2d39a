"""Real passages with their questions, by title, and the blocks that they become in memory.

A title that is held out is never trained on: its questions are asked in validation.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from mplus_ray.model.config import ModelConfig
from mplus_ray.model.corpus.held_out import is_held_out_for_reading
from mplus_ray.model.errors import InvalidInputError
from mplus_ray.model.generation.tokenizer import TextTokenizer
from mplus_ray.model.training.reading_phase import QuestionFile

# Where a text may be cut, best first, as documents are cut into chunks.
_PARAGRAPH = re.compile(r"(?=\n[^\S\n]*\n)")
_SENTENCE = re.compile(r"[.!?…][\"'”’)\]]*(?=\s)")
_SPACE = re.compile(r"(?=\s)")


@dataclass(frozen=True)
class PassageQuestion:
    """A question about a passage.

    Attributes:
        text: the question.
        answers: all that count as right; the first is the one that is trained.
        evidence: words that stand in the blocks that answer it, if they stand anywhere.
        invented: whether it is about an invented fact.
    """

    text: str
    answers: tuple[str, ...]
    evidence: str
    invented: bool = False

    @property
    def is_numeric(self) -> bool:
        """Whether a number or a date is wanted."""
        return any(letter.isdigit() for letter in self.answers[0])


@dataclass
class TitledPassage:
    """A text, the title that it stands under, and what is asked about it.

    Attributes:
        title: of the passage.
        text: all of it.
        questions: about it.
    """

    title: str
    text: str
    questions: list[PassageQuestion] = field(default_factory=list)


@dataclass(frozen=True)
class PassageFile:
    """The passages of one file by title, and how often they are drawn against other files'.

    Attributes:
        share: of the draws.
        titles: passages by title.
    """

    share: float
    titles: dict[str, list[TitledPassage]]


def load_reading(data: Path, files: Sequence[QuestionFile], held_out: bool) -> list[PassageFile]:
    """The passages of question files, those of titles that are held out or all others.

    Files of which none is left are left out.

    Raises:
        InvalidInputError: a file is missing or a line is not as it should be; or none is left.
    """
    loaded = [PassageFile(one.share, _titles(data / one.file, one, held_out)) for one in files]
    found = [one for one in loaded if one.titles and (held_out or one.share)]
    if not found:
        names = ", ".join(one.file for one in files)
        side = "held out" if held_out else "to be trained on"
        raise InvalidInputError(f"there is no question with an answer {side} in {names}")
    return found


def _titles(path: Path, file: QuestionFile, held_out: bool) -> dict[str, list[TitledPassage]]:
    passages: dict[tuple[str, str], TitledPassage] = {}
    for title, context, question, answers in _rows(path):
        if (file.held_out > 0 and is_held_out_for_reading(title, file.held_out)) != held_out:
            continue
        named = TitledPassage(unquote(title).replace("_", " "), context)  # often of an address
        passage = passages.setdefault((title, context), named)
        if answers:
            asked = PassageQuestion(question, answers, evidence=answers[0])
            passage.questions.append(asked)
    titles: dict[str, list[TitledPassage]] = {}
    for (title, _), passage in passages.items():
        if passage.questions:
            titles.setdefault(title, []).append(passage)
    return titles


def _rows(path: Path) -> Iterator[tuple[str, str, str, tuple[str, ...]]]:
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                row: dict[str, Any] = json.loads(line)
                title, context, question = (
                    row[n].strip() for n in ("title", "context", "question")
                )
                answers = _ranked(row["answers"])
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise InvalidInputError(
                    f"{path}, line {number} is no JSON object with title, context, question and "
                    f"answers: {error!r}"
                ) from error
            yield title, context, question, answers


def _ranked(answers: Sequence[str]) -> tuple[str, ...]:
    """Different answers, the one most often given first, of several such the shortest."""
    counts = Counter(answer.strip() for answer in answers if answer.strip())
    return tuple(sorted(counts, key=lambda answer: (-counts[answer], len(answer))))


class BlockCutter:
    """Cuts a passage into the blocks that a document with that title and text becomes."""

    def __init__(self, tokenizer: TextTokenizer, config: ModelConfig) -> None:
        self._tokenizer = tokenizer
        self._limit, self._header = config.chunk_tokens, config.header_tokens

    def cut(self, passage: TitledPassage, headed: bool = True) -> list[tuple[list[int], str]]:
        """Token ids of each block, at most `chunk_tokens`, and the text in it.

        Args:
            headed: whether blocks begin with the title, as far as the model has room for headers.
        """
        title = passage.title if headed and self._header else ""
        line = self._tokenizer.encode(f"{title}\n") if title else []
        header = line if len(line) <= self._header else [*line[: self._header - 1], line[-1]]
        room = self._limit - len(header)
        return [
            (
                ([] if piece.startswith(title) else header) + self._tokenizer.encode(piece)[:room],
                piece,
            )
            for piece in self._pieces(passage.text, room)
        ]

    def _pieces(self, text: str, limit: int) -> Iterator[str]:
        rest = text.strip()
        while rest:
            _, offsets = self._tokenizer.encode_with_offsets(rest)
            if len(offsets) <= limit:
                yield rest
                return
            end = _border(rest, max(1, min(offsets[limit - 1][1], offsets[limit][0])))
            yield rest[:end].rstrip()
            rest = rest[end:].strip()


def _border(text: str, room: int) -> int:
    """The best cut in the later half of the first `room` characters; `room` if there is none."""
    for pattern in (_PARAGRAPH, _SENTENCE, _SPACE):
        ends = [m.end() for m in pattern.finditer(text, room // 2) if m.end() <= room]
        if ends:
            return ends[-1]
    return room
