"""Held-out questions of reading: their loss, and how right the answers from memory are.

Memories are made and asked as the product does it, with blocks found by it too: of every title some
passages are memorized and some questions asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import zip_longest
from random import Random

from torch.distributed.fsdp import FSDPModule

from mplus_ray.model.checkpoint.checkpoint import Networks
from mplus_ray.model.evaluation.scoring.squad import exact_match, f1
from mplus_ray.model.generation.tokenizer import TextTokenizer
from mplus_ray.model.memory.memory import Memory
from mplus_ray.model.mplus import MPlus
from mplus_ray.model.training.data.packs import Packs
from mplus_ray.model.training.data.passages import (
    BlockCutter,
    PassageFile,
    PassageQuestion,
    TitledPassage,
)
from mplus_ray.model.training.loop.parallel import Whole
from mplus_ray.model.training.network.trained import merged_roles
from mplus_ray.model.training.phases.reading import ReadingTask
from mplus_ray.model.training.reading_phase import ReadingPhase
from mplus_ray.model.training.recipe import Recipe

_PASSAGES = 4  # of a title, each with one question
_LONGEST = 24  # tokens of an answer
_AT_ONCE = 32  # memories


class HeldOutReading:
    """Questions of titles that are never trained on, always the same ones."""

    def __init__(
        self, recipe: Recipe, tokenizer: TextTokenizer, files: Sequence[PassageFile], end: int
    ) -> None:
        """
        Args:
            files: of the titles that are held out.
            end: the token that ends an answer.
        """
        self._tokenizer, self._end = tokenizer, end
        self._cutter = BlockCutter(tokenizer, recipe.model)
        self._asked = _chosen(files, recipe.validation.questions)
        phase = [p for p in recipe.phases if isinstance(p, ReadingPhase)][-1]
        plain = replace(phase, name="held out", text=0.0, facts=0.0, prompt=0.0, divergence=0.0)
        packs = Packs(plain, recipe.model, tokenizer, files, end)
        self.task = ReadingTask(plain, packs, recipe.model.first_rows)

    def ask(self, whole: Whole) -> dict[str, float]:
        """Exact match and F1 of answers from memory; nothing where weights are spread (FSDP)."""
        if not self._asked or isinstance(whole, FSDPModule):
            return {}
        writer, reader = merged_roles(whole.roles)
        networks = Networks(writer, reader, None)
        mplus = MPlus(reader.config, networks, self._tokenizer, "in training", "float32")
        exact: list[bool] = []
        scores: list[float] = []
        for at in range(0, len(self._asked), _AT_ONCE):
            some = self._asked[at : at + _AT_ONCE]
            memories = self._memories(mplus, some)
            asked = [(m, q) for m, (_, qs) in zip(memories, some, strict=True) for q in qs]
            answers = mplus.ask_many(
                [memory for memory, _ in asked],
                [question.text for _, question in asked],
                max_tokens=_LONGEST,
                stop_ids=(self._end,),
            )
            for answer, (_, question) in zip(answers, asked, strict=True):
                exact.append(exact_match(answer.text, question.answers))
                scores.append(f1(answer.text, question.answers))
        return {
            "asked exact": sum(exact) / len(exact),
            "asked f1": sum(scores) / len(scores),
        }

    def _memories(
        self, mplus: MPlus, some: Sequence[tuple[list[TitledPassage], list[PassageQuestion]]]
    ) -> list[Memory]:
        """A memory of each title's passages, all written together."""
        chunks = [
            [ids for passage in passages for ids, _ in self._cutter.cut(passage)]
            for passages, _ in some
        ]
        memories = [mplus.empty_memory() for _ in some]
        for column in zip_longest(*chunks):
            writing = [at for at, ids in enumerate(column) if ids]
            written = mplus.memorize_chunks(
                [memories[at] for at in writing], [column[at] for at in writing]
            )
            for at, memory in zip(writing, written, strict=True):
                memories[at] = memory
        return memories


def _chosen(
    files: Sequence[PassageFile], count: int
) -> list[tuple[list[TitledPassage], list[PassageQuestion]]]:
    """Passages of titles, of every file in turn, with a question of each, `count` in all."""
    rng, chosen = Random("held-out questions"), []
    queues = [rng.sample(list(file.titles.values()), len(file.titles)) for file in files]
    while count > 0 and any(queues):
        for queue in queues:
            if not queue or count <= 0:
                continue
            passages = queue.pop()
            some = rng.sample(passages, min(_PASSAGES, len(passages)))
            questions = [rng.choice(passage.questions) for passage in some][:count]
            chosen.append((some, questions))
            count -= len(questions)
    return chosen
