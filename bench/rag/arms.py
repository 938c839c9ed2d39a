"""The ways to answer that are compared: the same model, the same questions, one run.

Every arm gives what it takes to start an answer: a view of a memory, and the prompt to read with
it. What an arm does before a question comes (opening the memory, indexing words) is not counted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mplus_ray.bench.rag.texts import ToldTexts
from mplus_ray.model import MPlus
from mplus_ray.model.evaluation.scoring.bm25 import BM25
from mplus_ray.model.generation.memory_view import MemoryView
from mplus_ray.model.generation.prompt import question_prompt

Start = tuple[MemoryView, list[int]]


@dataclass(frozen=True)
class Arm:
    """One way to answer.

    Attributes:
        name: short, for tables.
        start: from a question and the number of the passage it is about, a view and a prompt.
    """

    name: str
    start: Callable[[str, int], Start]


def arms_of(mplus: MPlus, told: ToldTexts, passages: int) -> list[Arm]:
    """Memory; the same passages by BM25 in the prompt; the one right passage in the prompt.

    Args:
        passages: how many BM25 puts into the prompt, as many as memory may read.
    """
    view = mplus.view(told.memory).prepare()
    blank = mplus.view(mplus.empty_memory()).prepare()
    index = BM25()
    for chunk in told.chunks:
        index.add(chunk.text)

    def from_memory(question: str, _: int) -> Start:
        return view, question_prompt(mplus.tokenizer, mplus.config, question)

    def from_bm25(question: str, _: int) -> Start:
        best = sorted(index.best(question, passages))
        return blank, _prompt(mplus, [told.chunks[step].ids for step in best], question)

    def from_right_passage(question: str, passage: int) -> Start:
        chunks = [chunk.ids for chunk in told.chunks if chunk.passage == passage]
        return blank, _prompt(mplus, chunks, question)

    return [
        Arm("memory", from_memory),
        Arm("bm25 in the prompt", from_bm25),
        Arm("right passage in the prompt", from_right_passage),
    ]


def _prompt(mplus: MPlus, chunks: Sequence[Sequence[int]], question: str) -> list[int]:
    """The passages as they were memorized, and then the question."""
    before = [token for ids in chunks for token in ids]
    return [*before, *question_prompt(mplus.tokenizer, mplus.config, question)]
