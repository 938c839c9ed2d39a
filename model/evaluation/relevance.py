"""Scores of searches: fitted on one half of the documents, and checked on the other.

Memories of several sizes are searched, so that a score means the same in each: one memory is
told everything, and most of it is masked again. Every question is asked of a memory that has its
passage and of one that has not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mplus_ray.model.errors import InvalidInputError
from mplus_ray.model.evaluation.data.questions import Question
from mplus_ray.model.evaluation.data.telling import Advance, ToldDocument
from mplus_ray.model.generation.logistic import logistic
from mplus_ray.model.generation.memory_view import MemoryView
from mplus_ray.model.mplus import MPlus
from mplus_ray.model.retrieval.relevance import Relevance, features_of

SIZES = (4, 16, 64)  # documents of a memory, beside one half of all
_LOOKED = 10  # best passages of every search
_QUESTIONS = 200  # of either kind and size, drawn
_FEWEST = 16  # documents
_BINS = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
_RIDGE, _ITERATIONS = 1e-3, 100

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class LabelledHit:
    """One passage of one search.

    Attributes:
        document: number of the document that the question is about.
        size: documents that the memory has.
        features: see `model.retrieval.relevance.features_of`.
        right: whether it is of that document and has an answer in it.
    """

    document: int
    size: int
    features: Floats
    right: bool


def relevance(
    mplus: MPlus,
    documents: Sequence[ToldDocument],
    seed: int = 0,
    advance: Advance = lambda tokens: None,
) -> tuple[dict[str, Any], Relevance]:
    """Fit what makes votes probabilities.

    Args:
        documents: with questions, all of which are told to one memory.

    Returns:
        {"bins": [{"from", "to", "n", "mean", "right"}, …], "brier", "brier_constant", "n",
        "weights", "bias"}: of the half that nothing was fitted to, how many passages got a score
        between two bounds, their mean score, and the share that was right; and what was fitted.

    Raises:
        InvalidInputError: fewer than 16 documents have a question.
    """
    asked = [document for document in documents if document.questions]
    if len(asked) < _FEWEST:
        raise InvalidInputError(f"{len(asked)} documents have questions; {_FEWEST} are needed")
    found = list(_collect(mplus, asked, Random(seed), advance))
    order = list(range(len(asked)))
    Random(seed).shuffle(order)
    fitting = set(order[: len(order) // 2])
    first = [one for one in found if one.document in fitting]
    second = [one for one in found if one.document not in fitting]
    fitted = _fit(first, mplus.fingerprint)
    return _measure(fitted, first, second), fitted


def _collect(
    mplus: MPlus, asked: Sequence[ToldDocument], rng: Random, advance: Advance
) -> Iterator[LabelledHit]:
    """The best passages of every question, in memories of every size."""
    memory, steps, texts = mplus.empty_memory(), [], list[str]()
    for document in asked:
        first = len(texts)
        for chunk in document.chunks:
            memory = mplus.memorize_chunks([memory], [chunk.ids])[0]
            texts.append(chunk.text)
            advance(len(chunk.ids))
        steps.append(range(first, len(texts)))
    half = len(asked) // 2
    for size in sorted({min(size, half) for size in SIZES} | {half}):
        starts = list(range(0, len(asked) - size + 1, size))
        rng.shuffle(starts)
        starts = starts[:_QUESTIONS]
        for start in starts:
            inside = range(start, start + size)
            low, high = steps[inside[0]].start, steps[inside[-1]].stop
            view = mplus.view(memory, [(0, low), (high, len(texts))]).prepare()
            others = [number for number in range(len(asked)) if number not in inside]
            for numbers in (inside, others):
                for number, question in _draw(asked, numbers, rng, _QUESTIONS // len(starts)):
                    right = _holding(question, steps[number], texts)
                    yield from _search(mplus, view, question, number, size, right)


def _draw(
    asked: Sequence[ToldDocument], numbers: Sequence[int], rng: Random, count: int
) -> list[tuple[int, Question]]:
    pairs = [(number, question) for number in numbers for question in asked[number].questions]
    return rng.sample(pairs, min(max(count, 1), len(pairs)))


def _holding(question: Question, steps: range, texts: Sequence[str]) -> set[int]:
    """Steps of a document that have an answer in them; all of it, where a cut went through."""
    here = {step for step in steps if any(answer in texts[step] for answer in question.answers)}
    return here or set(steps)


def _search(
    mplus: MPlus, view: MemoryView, question: Question, number: int, size: int, right: set[int]
) -> Iterator[LabelledHit]:
    votes = np.full(view.memory.step, -np.inf)
    for one in mplus.search(view, question.text, limit=len(votes)):
        votes[one.step] = one.vote
    best = [int(step) for step in np.argsort(-votes)[:_LOOKED] if np.isfinite(votes[step])]
    for step, row in zip(best, features_of(votes, best), strict=True):
        yield LabelledHit(number, size, row, step in right)


def _fit(found: Sequence[LabelledHit], fingerprint: str) -> Relevance:
    """Logistic regression whose weights are none below 0, by projected Newton steps: a feature
    whose weight would be is left out."""
    x = np.array([one.features for one in found])
    y = np.array([one.right for one in found], dtype=np.float64)
    mean, scale = x.mean(0), x.std(0) + 1e-9
    active = list(range(x.shape[1]))
    while True:
        weights, bias = logistic(
            (x[:, active] - mean[active]) / scale[active], y, _RIDGE, _ITERATIONS
        )
        if not len(weights) or weights.min() >= 0:
            break
        del active[int(weights.argmin())]
    raw = np.zeros(x.shape[1])
    raw[active] = weights / scale[active]
    return Relevance(tuple(map(float, raw)), float(bias - raw @ mean), fingerprint)


def _measure(
    fitted: Relevance, first: Sequence[LabelledHit], second: Sequence[LabelledHit]
) -> dict[str, Any]:
    def score(found: Sequence[LabelledHit]) -> tuple[Floats, Floats]:
        values = np.array([one.features for one in found]) @ np.array(fitted.weights) + fitted.bias
        return 1 / (1 + np.exp(-values)), np.array([one.right for one in found], dtype=np.float64)

    scores, right = score(second)
    constant = float(np.mean([one.right for one in first]))
    return {
        "bins": list(_bins(scores, right)),
        "by_size": {
            str(size): list(_bins(*score([one for one in second if one.size == size])))
            for size in sorted({one.size for one in second})
        },
        "brier": round(float(((scores - right) ** 2).mean()), 4),
        "brier_constant": round(float(((constant - right) ** 2).mean()), 4),
        "n": len(second),
        "weights": list(fitted.weights),
        "bias": fitted.bias,
    }


def _bins(scores: Floats, right: Floats) -> Iterator[dict[str, float]]:
    for low, high in pairwise(_BINS):
        inside = (scores >= low) & (scores <= high if high == 1 else scores < high)
        if inside.any():
            yield {
                "from": low,
                "to": high,
                "n": int(inside.sum()),
                "mean": round(float(scores[inside].mean()), 3),
                "right": round(float(right[inside].mean()), 3),
            }
