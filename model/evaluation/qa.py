"""Real questions on passages that were told some time ago."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from mplus_ray.model.evaluation.data.passages import Logs, PassagePlan
from mplus_ray.model.evaluation.data.questions import Question
from mplus_ray.model.evaluation.data.telling import Advance, Due, tell
from mplus_ray.model.evaluation.scoring.asking import AT_ONCE, ScoredReply, ask, batches, views_of
from mplus_ray.model.evaluation.scoring.bm25 import BM25
from mplus_ray.model.evaluation.scoring.intervals import mean_of, share_of
from mplus_ray.model.evaluation.scoring.squad import exact_match, f1, holds
from mplus_ray.model.memory.memory import Memory
from mplus_ray.model.mplus import MPlus

ARMS = ("mplus", "context", "none", "bm25")


@dataclass
class Scores:
    """Of the answers of one arm at one distance.

    Attributes:
        exact, in_output: whether each answer is a right one, or contains one, after normalization.
        f1: of each answer's words against the best right one's.
    """

    exact: list[bool] = field(default_factory=list)
    f1: list[float] = field(default_factory=list)
    in_output: list[bool] = field(default_factory=list)

    def add(self, output: str, answers: Sequence[str]) -> None:
        self.exact.append(exact_match(output, answers))
        self.f1.append(f1(output, answers))
        self.in_output.append(holds(output, answers))

    def as_dict(self) -> dict[str, Any]:
        exact = share_of(self.exact, "exact")
        return {
            "exact": exact["exact"],
            "low": exact["exact_low"],
            "high": exact["exact_high"],
            **mean_of(self.f1, "f1"),
            **share_of(self.in_output, "in_output"),
            "n": len(self.exact),
        }


class Indexes:
    """A BM25 index of every tenant's chunks, as many as it had been told at each question."""

    def __init__(self) -> None:
        self._indexes: defaultdict[int, BM25] = defaultdict(BM25)

    def best(self, due: Due, question: str, count: int) -> list[int]:
        """Steps of the chunks that fit best, best first."""
        index = self._indexes[due.tenant]
        for chunk in due.log[len(index) :]:
            index.add(chunk.text)
        return index.best(question, count, due.memory.step)


@dataclass(frozen=True)
class _One:
    """A question that is due."""

    due: Due
    question: Question


def qa(
    mplus: MPlus, logs: Logs, plan: PassagePlan, advance: Advance = lambda tokens: None
) -> dict[str, Any]:
    """Exact match, F1 and answer-in-output by arm and distance.

    The arms: M+; the same model with nothing remembered and the passage in its prompt; with
    nothing at all; and with as many BM25 chunks of the tenant's log in its prompt as M+ retrieves
    blocks. The second and third do not depend on the distance and are asked once.

    Returns:
        {"arms": {"mplus": {"0": {"exact", "low", "high", "f1", "f1_low", "f1_high", "in_output",
        "in_output_low", "in_output_high", "n"}, …}, …}}.
    """
    distances = sorted(set(plan.distances))
    scores: defaultdict[tuple[str, int], Scores] = defaultdict(Scores)
    indexes, blank = Indexes(), mplus.empty_memory()
    count = max(1, mplus.config.num_ltm_blocks)
    due = tell(mplus, logs.told, logs.others, distances, plan.seed, advance)
    ones = (_One(one, question) for one in due for question in one.document.questions)

    def note(
        arm: str, batch: Sequence[_One], answers: Sequence[ScoredReply], at: int | None
    ) -> None:
        for one, asked in zip(batch, answers, strict=True):
            distance = one.due.distance if at is None else at
            scores[arm, distance].add(asked.text, one.question.answers)

    for batch in batches(ones, AT_ONCE):
        texts = [one.question.text for one in batch]
        views = views_of(mplus, [one.due.memory for one in batch])
        note("mplus", batch, ask(mplus, views, texts), None)
        found = [_joined(one, indexes.best(one.due, one.question.text, count)) for one in batch]
        note("bm25", batch, _with_context(mplus, blank, texts, found), None)
        first = [one for one in batch if one.due.distance == distances[0]]
        texts = [one.question.text for one in first]
        passages = [logs.context(one.due.document) for one in first]
        given = _with_context(mplus, blank, texts, passages)
        alone = ask(mplus, views_of(mplus, [blank] * len(first)), texts)
        for distance in distances:
            note("context", first, given, distance)
            note("none", first, alone, distance)
    return {
        "arms": {arm: {str(d): scores[arm, d].as_dict() for d in distances} for arm in ARMS},
        "questions_without_answer": logs.unanswered,
    }


def _joined(one: _One, steps: Sequence[int]) -> str:
    """The chunks in the order in which they were told."""
    return "\n".join(one.due.log[step].text for step in sorted(steps))


def _with_context(
    mplus: MPlus, blank: Memory, questions: Sequence[str], contexts: Sequence[str]
) -> list[ScoredReply]:
    return ask(mplus, views_of(mplus, [blank] * len(questions)), questions, contexts)
