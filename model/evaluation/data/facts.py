"""Invented facts as documents with a question in a phrasing never trained on."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from mplus_ray.model.corpus.facts import Unseen, draw_fact, draw_update
from mplus_ray.model.errors import InvalidInputError
from mplus_ray.model.evaluation.data.questions import Question
from mplus_ray.model.evaluation.data.telling import Chunk, ToldDocument
from mplus_ray.model.evaluation.data.text import TextReader
from mplus_ray.model.generation.tokenizer import TextTokenizer

TellFacts = Callable[[Random, TextReader, TextTokenizer, int, Unseen], list[ToldDocument]]

_BETWEEN = 4  # chunks of other text between a fact and the one that overrides it
FACT_TRIES = 1_000  # of facts, of which one has to fit into a chunk


def in_prose(
    rng: Random, reader: TextReader, tokenizer: TextTokenizer, size: int, unseen: Unseen
) -> list[ToldDocument]:
    """A full chunk of running text with the fact's sentence somewhere in it."""
    fact = draw_fact(rng, unseen)
    question = Question(fact.question, (fact.answer,))
    return [ToldDocument([_surrounded(rng, reader, tokenizer, fact.statement, size)], [question])]


def in_one_sentence(
    rng: Random, reader: TextReader, tokenizer: TextTokenizer, size: int, unseen: Unseen
) -> list[ToldDocument]:
    """A document of this one sentence."""
    fact = draw_fact(rng, unseen)
    chunk = Chunk(fact.statement, _fitting(tokenizer, fact.statement, size))
    return [ToldDocument([chunk], [Question(fact.question, (fact.answer,))])]


def updated(
    rng: Random, reader: TextReader, tokenizer: TextTokenizer, size: int, unseen: Unseen
) -> list[ToldDocument]:
    """A fact, some text, and a fact that overrides it: the latest is the answer."""

    def told(statement: str) -> Chunk:
        return _surrounded(rng, reader, tokenizer, statement, size)

    return _overridden(rng, reader, size, unseen, told)


def restated(
    rng: Random, reader: TextReader, tokenizer: TextTokenizer, size: int, unseen: Unseen
) -> list[ToldDocument]:
    """A fact as a document of one sentence, some text, and one that overrides it, as such."""

    def told(statement: str) -> Chunk:
        return Chunk(statement, _fitting(tokenizer, statement, size))

    return _overridden(rng, reader, size, unseen, told)


def _overridden(
    rng: Random, reader: TextReader, size: int, unseen: Unseen, told: Callable[[str], Chunk]
) -> list[ToldDocument]:
    """A fact and another that overrides it, with text between them.

    Args:
        told: a statement as a chunk.
    """
    older, newer = draw_update(rng, unseen)
    question = Question(newer.question, (newer.answer,))
    first, last = (told(statement) for statement in (older, newer.statement))
    between = [ToldDocument([reader.chunk(size)]) for _ in range(_BETWEEN)]
    return [ToldDocument([first]), *between, ToldDocument([last], [question])]


WAYS: dict[str, TellFacts] = {
    "prose": in_prose,
    "sentence": in_one_sentence,
    "update": updated,
    "restated": restated,
}


def tell_fact(
    way: str,
    rng: Random,
    reader: TextReader,
    tokenizer: TextTokenizer,
    size: int,
    unseen: Unseen = "questions",
) -> list[ToldDocument]:
    """Documents that tell one fact, the last of them with the question.

    Args:
        way: a key of `WAYS`.
        size: tokens of a chunk.
        unseen: whether the statement, too, is in a phrasing never trained on.

    Raises:
        InvalidInputError: sentences do not fit into chunks of this size.
    """
    for _ in range(FACT_TRIES):
        try:
            return WAYS[way](rng, reader, tokenizer, size, unseen)
        except _TooLongError:
            continue
    raise InvalidInputError(
        f"a sentence does not fit into this checkpoint's chunks of {size} tokens; measure one "
        "with longer chunks"
    )


class _TooLongError(Exception):
    """A statement is longer than a chunk; another one may not be."""


def _fitting(tokenizer: TextTokenizer, statement: str, size: int) -> list[int]:
    ids = tokenizer.encode(statement)
    if len(ids) > size:
        raise _TooLongError
    return ids


def _surrounded(
    rng: Random, reader: TextReader, tokenizer: TextTokenizer, statement: str, size: int
) -> Chunk:
    ids = _fitting(tokenizer, statement, size)
    before = rng.randrange(size - len(ids) + 1)
    ids = [*reader.take(before), *ids, *reader.take(size - len(ids) - before)]
    return Chunk(tokenizer.decode(ids), ids)
