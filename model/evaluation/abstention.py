"""Whether the model can know that it was never told: asked and stored against never stored.

Two tenants are told one half of the passages each, and both are asked everything: every question
is once of the one kind and once of the other, so that hard questions are in both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mplus_ray.model.errors import InvalidInputError
from mplus_ray.model.evaluation.data.telling import Advance, ToldDocument, tell
from mplus_ray.model.evaluation.data.text import RunningText, TextReader
from mplus_ray.model.evaluation.scoring.asking import ask, batches
from mplus_ray.model.generation import answer
from mplus_ray.model.generation.confidence import (
    FEATURES,
    FEWEST_BLOCKS,
    Confidence,
    Evidence,
    auroc,
    balanced_accuracy,
)
from mplus_ray.model.generation.memory_view import MemoryView
from mplus_ray.model.mplus import MPlus

# Those preferred come first. The margin is not in combinations: it is near 0 for what two documents
# say, and here every fact is told once.
_RETRIEVAL = ("best_vote", "standing_out")
_DECODING = ("mean_logprob", "least_logprob", "certainty")
CANDIDATES: tuple[tuple[str, ...], ...] = (
    ("standing_out", "mean_logprob"),
    *((name,) for name in FEATURES),
    _RETRIEVAL,
    _DECODING,
    ("no_refusal", "least_logprob"),
    ("no_refusal", *_DECODING),
    (*_RETRIEVAL, *_DECODING),
)
# What says the same of a memory of one block and of one of thousands.
_OF_ANY_MEMORY = {*_DECODING, "no_refusal"}
_RESAMPLES = 1_000


@dataclass(frozen=True)
class After:
    """Running text of so many tokens, told after the documents.

    Attributes:
        text: where it is taken from.
        tokens: how many.
    """

    text: RunningText
    tokens: int


@dataclass(frozen=True)
class Sample:
    """One question to one tenant.

    Attributes:
        document: number of the document it is about.
        question: number among all questions.
        stored: whether the tenant was told the answer.
        evidence: what the model said with, and beside, its answer.
    """

    document: int
    question: int
    stored: bool
    evidence: Evidence


def abstention(
    mplus: MPlus,
    documents: Sequence[ToldDocument],
    seed: int = 0,
    advance: Advance = lambda tokens: None,
    after: After | None = None,
) -> tuple[dict[str, Any], Confidence]:
    """How well a confidence tells apart what is in memory; chosen on one half of the documents,
    measured on the other.

    Args:
        documents: with questions, those of one half told to one tenant and the others to another.
        after: what both are told then, before they are asked.

    Returns:
        {"auroc", "low", "high", "n", "threshold", "balanced_accuracy", "answered_stored",
        "answered_not_stored", "features", "weights", "bias", "candidates": {names: auroc on the
        half that it was chosen on}, "roc": [[share of not stored, share of stored], …]}, n answers
        of each kind; and the confidence, fitted to the first half.

    Raises:
        InvalidInputError: fewer than eight documents have a question.
    """
    samples = collect(mplus, documents, seed, advance, after)
    order = sorted({sample.document for sample in samples})
    Random(seed).shuffle(order)
    choosing = set(order[: len(order) // 2])
    first = [sample for sample in samples if sample.document in choosing]
    second = [sample for sample in samples if sample.document not in choosing]
    fitted = {
        names: Confidence.fit([s.evidence for s in first], _kinds(first), names, mplus.fingerprint)
        for names in _candidates(mplus)
    }
    chosen, figures = choose(fitted, first, seed)
    confidence = fitted[chosen]
    if set(chosen) <= _OF_ANY_MEMORY:
        confidence = replace(confidence, fewest=0)
    elif len(order) >= 2 * FEWEST_BLOCKS:  # each tenant was told half of the documents
        confidence = replace(confidence, fewest=FEWEST_BLOCKS)
    return {
        **_measure(confidence, second, seed),
        "features": list(chosen),
        "weights": list(confidence.weights),
        "bias": confidence.bias,
        "candidates": {"+".join(names): round(figure, 4) for names, figure in figures.items()},
    }, confidence


def _candidates(mplus: MPlus) -> list[tuple[str, ...]]:
    """Where the model can refuse, a confidence need not ask how far a block stands out, which
    moves with how much else is in memory."""
    refuses = mplus.config.refusal is not None
    return [names for names in CANDIDATES if not refuses or set(names) <= _OF_ANY_MEMORY]


def collect(
    mplus: MPlus,
    documents: Sequence[ToldDocument],
    seed: int,
    advance: Advance,
    after: After | None = None,
) -> list[Sample]:
    """Every question to both tenants, and what their answers show."""
    asked = [document for document in documents if document.questions]
    if len(asked) < 8:
        raise InvalidInputError(
            f"{len(asked)} documents have questions; at least 8 are needed to choose on a half"
        )
    order = list(range(len(asked)))
    Random(seed).shuffle(order)
    halves = [order[0::2], order[1::2]]
    told = [
        [ToldDocument(asked[number].chunks) for number in half[:-1]] + [asked[half[-1]]]
        for half in halves
    ]
    # A question to wait for stands in the last document only: then the tenant has been told all.
    size, distance = mplus.config.chunk_tokens, after.tokens if after else 0
    others = [TextReader(after.text, 0).documents(size) if after else iter(()) for _ in told]
    dues = tell(mplus, told, others, [distance], seed, advance)
    due = {one.tenant: one.memory for one in dues}
    numbered = [(at, q) for at, document in enumerate(asked) for q in document.questions]
    samples = []
    for tenant, half in enumerate(halves):
        view, stored = mplus.view(due[tenant]), set(half)
        for batch in batches(enumerate(numbered)):
            texts = [question.text for _, (_, question) in batch]
            shown = evidence_of(mplus, [view] * len(texts), texts)
            samples += [
                Sample(at, number, at in stored, evidence)
                for (number, (at, _)), evidence in zip(batch, shown, strict=True)
            ]
    return samples


def evidence_of(
    mplus: MPlus, views: Sequence[MemoryView], questions: Sequence[str]
) -> list[Evidence]:
    """What the greedy answers show of themselves."""
    return [answer.evidence_of(one.generation) for one in ask(mplus, views, questions)]


def choose(
    fitted: Mapping[tuple[str, ...], Confidence], samples: Sequence[Sample], seed: int
) -> tuple[tuple[str, ...], dict[tuple[str, ...], float]]:
    """The first candidate that the best one is not better than beyond chance, and the AUROC of
    all."""
    kinds, documents = np.array(_kinds(samples)), [sample.document for sample in samples]
    scores = {
        names: np.array([confidence(s.evidence) for s in samples])
        for names, confidence in fitted.items()
    }
    figures = {names: auroc(of_names, kinds) for names, of_names in scores.items()}
    best = max(figures, key=figures.__getitem__)
    low, _ = _bounds(scores[best], kinds, documents, seed)
    return next(names for names in fitted if figures[names] >= low), figures


def _measure(confidence: Confidence, samples: Sequence[Sample], seed: int) -> dict[str, Any]:
    scores, kinds = np.array([confidence(s.evidence) for s in samples]), np.array(_kinds(samples))
    low, high = _bounds(scores, kinds, [sample.document for sample in samples], seed)
    threshold = confidence.threshold
    return {
        "auroc": round(auroc(scores, kinds), 4),
        "low": round(low, 4),
        "high": round(high, 4),
        "n": int(kinds.sum()),
        "threshold": threshold,
        "balanced_accuracy": round(balanced_accuracy(scores, kinds, threshold), 4),
        "answered_stored": round(float((scores[kinds] >= threshold).mean()), 4),
        "answered_not_stored": round(float((scores[~kinds] >= threshold).mean()), 4),
        "roc": _roc(scores, kinds),
    }


def _bounds(
    scores: NDArray[Any], kinds: NDArray[Any], documents: Sequence[int], seed: int
) -> tuple[float, float]:
    """95 % by drawing documents again and again: questions of one are not independent."""
    random = np.random.default_rng(seed)
    groups = [np.flatnonzero(np.array(documents) == d) for d in sorted(set(documents))]
    figures = []
    for _ in range(_RESAMPLES):
        chosen = np.concatenate([groups[i] for i in random.integers(len(groups), size=len(groups))])
        figures.append(auroc(scores[chosen], kinds[chosen]))
    low, high = np.quantile(figures, [0.025, 0.975])
    return float(low), float(high)


def _roc(scores: NDArray[Any], kinds: NDArray[Any]) -> list[list[float]]:
    points = [[0.0, 0.0]]
    for threshold in np.unique(scores)[::-1]:
        trusted = scores >= threshold
        points.append([float(trusted[~kinds].mean()), float(trusted[kinds].mean())])
    return [[round(x, 4), round(y, 4)] for x, y in points]


def _kinds(samples: Sequence[Sample]) -> list[bool]:
    return [sample.stored for sample in samples]
