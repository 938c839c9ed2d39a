"""The passages of a file as one tenant's memory, and the questions about them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from mplus_ray.model import MPlus
from mplus_ray.model.errors import InvalidInputError
from mplus_ray.model.evaluation.data.questions import Question, QuestionedPassage, answerable, draw
from mplus_ray.model.memory.memory import Memory
from mplus_ray.pipeline.chunking.chunker import chunk_document
from mplus_ray.pipeline.chunking.headers import Headings, with_header

TOKENS = 20_000  # of a memory, unless others are asked for


@dataclass(frozen=True)
class ToldChunk:
    """One chunk of the memory.

    Attributes:
        passage: number of the passage that it is of.
        text: without its header.
        ids: tokens as they were memorized, header included.
    """

    passage: int
    text: str
    ids: list[int]


@dataclass(frozen=True)
class ToldTexts:
    """A memory and what is asked of it.

    Attributes:
        memory: of all the chunks.
        chunks: in the order of its steps.
        questions: with the number of the passage that has the answer.
        tokens: of all chunks.
    """

    memory: Memory
    chunks: list[ToldChunk]
    questions: list[tuple[Question, int]]
    tokens: int


def tell_passages(
    mplus: MPlus,
    passages: list[QuestionedPassage],
    questions: int,
    tokens: int | None,
    on_tokens: Callable[[int], None],
) -> ToldTexts:
    """Memorize the passages that are asked about, and others until there are so many tokens.

    Args:
        questions: drawn at random, at most.
        tokens: of the memory, at least; passages without a question asked fill it up. None:
            20,000, or all that the file has if that is less.
        on_tokens: called with the tokens of each pass.

    Raises:
        InvalidInputError: the file has too little text.
    """
    rng = Random(0)
    able, _ = answerable(passages)
    asked = draw(able, questions, rng)
    wanted = {passage.context for passage in asked}
    others = [passage for passage in passages if passage.context not in wanted]
    rng.shuffle(others)
    chunks: list[ToldChunk] = []
    pairs = [(q, number) for number, passage in enumerate(asked) for q in passage.questions]
    total, least = 0, TOKENS if tokens is None else tokens
    for number, passage in enumerate([*asked, *others]):
        if number >= len(asked) and total >= least:
            break
        found = _chunks(mplus, passage, number)
        chunks += found
        total += sum(len(chunk.ids) for chunk in found)
    if tokens is not None and total < tokens:
        raise InvalidInputError(
            f"the passages have {total:,} tokens, less than the {tokens:,} asked for; give a "
            "larger file, or ask for fewer tokens"
        )
    memory = mplus.empty_memory()
    for chunk in chunks:
        memory = mplus.memorize_chunks([memory], [chunk.ids])[0]
        on_tokens(len(chunk.ids))
    return ToldTexts(memory, chunks, pairs, total)


def _chunks(mplus: MPlus, passage: QuestionedPassage, number: int) -> list[ToldChunk]:
    """Cut as every document is."""
    headings, text = Headings(passage.title), passage.context
    return [
        ToldChunk(
            number,
            text[span.start : span.end],
            with_header(
                mplus.tokenizer, headings.at(text, span.start), text[span.start : span.end]
            ),
        )
        for span in chunk_document(text, headings, mplus.tokenizer)
    ]
