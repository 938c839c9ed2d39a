"""How much is still known after so many tokens of other text."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import numpy as np

from mplus_ray.model.corpus.facts import Unseen
from mplus_ray.model.errors import InvalidInputError
from mplus_ray.model.evaluation.data.facts import tell_fact
from mplus_ray.model.evaluation.data.telling import Advance, Due, ToldDocument, tell
from mplus_ray.model.evaluation.data.text import RunningText
from mplus_ray.model.evaluation.scoring.asking import AT_ONCE, ScoredReply, ask, batches, views_of
from mplus_ray.model.evaluation.scoring.intervals import share
from mplus_ray.model.memory.memory import Memory
from mplus_ray.model.mplus import MPlus

ARMS = ("mplus", "memoryllm", "none")
_ANSWER = 16  # tokens; every value of a fact is shorter


@dataclass(frozen=True)
class RetentionPlan:
    """What is measured.

    Attributes:
        distances: tokens between a fact and the question about it.
        questions: in all, one a fact.
        tenants: that share the facts evenly.
        told: how a fact is told, see `model.evaluation.data.facts`.
        unseen: the questions' phrasings were never trained on, or everything's.
        seed: of what is drawn.
    """

    distances: Sequence[int]
    questions: int = 300
    tenants: int = 4
    told: str = "prose"
    seed: int = 0
    unseen: Unseen = "questions"

    def tokens(self, chunk_tokens: int) -> int:
        """Roughly how many will be memorized in all."""
        tenants = min(self.tenants, self.questions)
        return tenants * max(self.distances) + self.questions * 2 * chunk_tokens


def pool_only(memory: Memory) -> Memory:
    """A memory with its long-term rows out of reach: the MemoryLLM arm."""
    return replace(memory, membership=memory.membership.pool_only())


def retention(
    mplus: MPlus, text: RunningText, plan: RetentionPlan, advance: Advance = lambda tokens: None
) -> dict[str, Any]:
    """Exact match by arm and distance; an answer counts only if it is the value, letter by letter.

    Facts of a tenant are told with a chunk of other text after each; from the last one on there is
    other text only. No memory gives the same answer at any distance and is asked once.

    Args:
        text: of authors never trained on, the other text.

    Returns:
        {"arms": {"mplus": {"0": {"exact", "low", "high", "n"}, …}, "memoryllm": …, "none": …},
        "read": {"0": {"block", "low", "high", "rows", "first", "n"}, …}}; `block`: the share of
        questions that read a row of the fact's block, `rows`: the share of its rows that were
        read, in the mean over layers, `first`: the block had the most votes.

    Raises:
        InvalidInputError: there is nothing to measure.
    """
    _check(plan)
    logs, others = _logs(mplus, text, plan)
    distances = sorted(set(plan.distances))
    hits: dict[tuple[str, int], list[bool]] = defaultdict(list)
    found: dict[int, list[_Found]] = defaultdict(list)
    due = tell(mplus, logs, others, distances, plan.seed, advance)
    for batch in batches(due, AT_ONCE):
        questions = [one.document.questions[0] for one in batch]
        texts = [question.text for question in questions]
        memories = [one.memory for one in batch]
        for arm, seen in (("mplus", memories), ("memoryllm", [pool_only(m) for m in memories])):
            answers = ask(mplus, views_of(mplus, seen), texts, max_tokens=_ANSWER)
            for one, question, asked in zip(batch, questions, answers, strict=True):
                hits[arm, one.distance].append(asked.text == question.answers[0])
                if arm == "mplus":
                    found[one.distance].append(_look(mplus, one, asked))
    documents = [d for log in logs for d in log if d.questions]
    blank = _ask_blank(mplus, documents)
    for distance in distances:
        hits["none", distance] = blank
    return {
        "arms": {arm: {str(d): share(hits[arm, d], "exact") for d in distances} for arm in ARMS},
        "read": {str(d): _summary(found[d]) for d in distances},
    }


def _check(plan: RetentionPlan) -> None:
    if not plan.distances or min(plan.distances) < 0:
        raise InvalidInputError("--tokens needs whole numbers of at least 0, such as 0,20000")
    if plan.questions < 1 or plan.tenants < 1:
        raise InvalidInputError("at least one question and one tenant are needed")


def _logs(
    mplus: MPlus, text: RunningText, plan: RetentionPlan
) -> tuple[list[list[ToldDocument]], list[Iterator[ToldDocument]]]:
    """What each tenant is told, and the text that follows."""
    size, rng = mplus.config.chunk_tokens, Random(plan.seed)
    tenants = min(plan.tenants, plan.questions)
    readers = [text.reader(rng) for _ in range(tenants)]
    logs: list[list[ToldDocument]] = [[] for _ in readers]
    for number in range(plan.questions):
        log, reader = logs[number % tenants], readers[number % tenants]
        log += tell_fact(plan.told, rng, reader, mplus.tokenizer, size, plan.unseen)
        log.append(ToldDocument([reader.chunk(size)]))
    return logs, [reader.documents(size) for reader in readers]


def _ask_blank(mplus: MPlus, documents: Sequence[ToldDocument]) -> list[bool]:
    """Whether each question is answered by somebody who was told nothing."""
    view = mplus.view(mplus.empty_memory())
    hits: list[bool] = []
    for batch in batches(documents):
        questions = [document.questions[0] for document in batch]
        answers = ask(mplus, [view] * len(batch), [q.text for q in questions], max_tokens=_ANSWER)
        hits += [a.text == q.answers[0] for a, q in zip(answers, questions, strict=True)]
    return hits


@dataclass(frozen=True)
class _Found:
    """What became of a fact's block: was it read, how much of it, did it have the most votes?"""

    read: bool
    rows: float
    first: bool


def _look(mplus: MPlus, due: Due, asked: ScoredReply) -> _Found:
    size = mplus.config.num_tokens
    block = np.arange(due.first * size, (due.first + 1) * size)
    reading = asked.generation.reading
    counts = [
        np.isin(block, np.concatenate([retrieved, kept])).sum()
        for retrieved, kept in zip(reading.retrieved, reading.view.pool_ids, strict=True)
    ]
    sources = asked.answer.sources
    rows = float(np.mean(counts)) / size
    return _Found(rows > 0, rows, bool(sources) and sources[0].step == due.first)


def _summary(found: Sequence[_Found]) -> dict[str, Any]:
    return {
        **share([one.read for one in found], "block"),
        "rows": round(float(np.mean([one.rows for one in found])), 4),
        "first": round(float(np.mean([one.first for one in found])), 4),
    }
