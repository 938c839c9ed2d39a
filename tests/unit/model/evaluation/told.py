"""What memories of these tests are told and asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import repeat

from mplus_ray.model import MPlus
from mplus_ray.model.evaluation.data.questions import Question, QuestionedPassage
from mplus_ray.model.evaluation.data.telling import Chunk, ToldDocument
from mplus_ray.model.evaluation.scoring.asking import ScoredReply
from mplus_ray.model.memory.memory import Memory

SIZE = 160  # bytes are tokens; the longest sentence has to fit


def piece(mplus: MPlus, words: str) -> Chunk:
    return Chunk(words, mplus.tokenizer.encode(words))


def document(mplus: MPlus, *parts: str, asked: str | None = None) -> ToldDocument:
    questions = [Question(asked, ("yes",))] if asked else []
    return ToldDocument([piece(mplus, part) for part in parts], questions)


def others(mplus: MPlus, words: str = "0123456789") -> Iterator[ToldDocument]:
    return repeat(document(mplus, words))


def memory_of(mplus: MPlus, log: Sequence[Chunk], seed: int) -> Memory:
    memory = mplus.empty_memory(seed=seed)
    for chunk in log:
        (memory,) = mplus.memorize_chunks([memory], [chunk.ids])
    return memory


def chosen(asked: ScoredReply) -> list[int]:
    """The tokens that were decoded, with the one that ended the answer."""
    generation = asked.generation
    (stop,) = generation.stop_ids
    return generation.tokens + [stop] * (generation.finish_reason == "stop")


def passages() -> list[QuestionedPassage]:
    """Each context has a word of its own, which is the answer; the third takes several chunks."""
    made = []
    for n, word in enumerate(["zebra", "yacht", "xylem", "walrus", "vortex", "umbra"]):
        filler = f"passage number {n} says something. " * (12 if n == 2 else 2)
        questions = [Question(f"where is the {word}", (word, "nowhere"))] * (2 if n == 0 else 1)
        made.append(QuestionedPassage("", f"{filler} Here is the {word}.", questions))
    made.append(QuestionedPassage("", "Nobody asks about this.", [Question("why", ())]))
    return made
