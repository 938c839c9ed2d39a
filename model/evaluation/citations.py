"""Whether the sources that are named with an answer are where the answer stands."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any

from mplus_ray.model.evaluation.data.passages import Logs, PassagePlan
from mplus_ray.model.evaluation.data.questions import Question
from mplus_ray.model.evaluation.data.telling import Advance, Due, tell
from mplus_ray.model.evaluation.qa import Indexes
from mplus_ray.model.evaluation.scoring.asking import AT_ONCE, ask, batches, views_of
from mplus_ray.model.evaluation.scoring.intervals import share_of
from mplus_ray.model.evaluation.scoring.squad import holds
from mplus_ray.model.mplus import MPlus

ARMS = ("retriever", "bm25")
_PASSAGES = 3
_Hits = defaultdict[tuple[str, str, int], list[int | None]]  # level, arm, distance → ranks


def citations(
    mplus: MPlus, logs: Logs, plan: PassagePlan, advance: Advance = lambda tokens: None
) -> dict[str, Any]:
    """How often a passage (a chunk, as an answer's sources are) is the first, or among the first
    three: of the retriever's votes, and of BM25 over the same passages.

    Returns:
        {"arms": {"retriever": {"0": {"hit@1", "hit@1_low", "hit@1_high", "hit@3", …, "n"}, …},
        "bm25": …}, "documents": the same}. In `arms` a passage is right if it is of the document
        and has an answer in it, so questions whose answer stands in no single passage of it do
        not count; in `documents` any passage of the document is right and all questions count.
    """
    distances = sorted(set(plan.distances))
    ranks: _Hits = defaultdict(list)
    indexes = Indexes()
    due = tell(mplus, logs.told, logs.others, distances, plan.seed, advance)
    pairs = ((one, question) for one in due for question in one.document.questions)
    for batch in batches(pairs, AT_ONCE):
        texts = [question.text for _, question in batch]
        views = views_of(mplus, [one.memory for one, _ in batch])
        for (one, question), asked in zip(
            batch, ask(mplus, views, texts, max_tokens=1), strict=True
        ):
            shown = {
                "retriever": [source.step for source in asked.answer.sources[:_PASSAGES]],
                "bm25": indexes.best(one, question.text, _PASSAGES),
            }
            right = _right(one, question)
            for arm, steps in shown.items():
                ranks["documents", arm, one.distance].append(_rank(steps, one.steps))
                if right:
                    ranks["arms", arm, one.distance].append(_rank(steps, right))
    return {
        level: {arm: {str(d): _figures(ranks[level, arm, d]) for d in distances} for arm in ARMS}
        for level in ("arms", "documents")
    }


def _right(due: Due, question: Question) -> list[int]:
    """Steps of the document whose chunk has an answer in it."""
    return [step for step in due.steps if holds(due.log[step].text, question.answers)]


def _rank(steps: Sequence[int], right: Collection[int]) -> int | None:
    """Place of the first right one, from 0; None if none is right."""
    return next((place for place, step in enumerate(steps) if step in right), None)


def _figures(ranks: Sequence[int | None]) -> dict[str, Any]:
    first = [rank == 0 for rank in ranks]
    shown = [rank is not None for rank in ranks]
    return {**share_of(first, "hit@1"), **share_of(shown, "hit@3"), "n": len(ranks)}
