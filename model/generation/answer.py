"""What a question comes to. Without torch, so that it can be read where no weights are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mplus_ray.model.generation.confidence import Evidence

if TYPE_CHECKING:
    from mplus_ray.model.generation.generate import FinishReason, Generation
    from mplus_ray.model.generation.reading import Reading
    from mplus_ray.model.retrieval.relevance import Relevance

_HARDLY = math.log(0.1)  # right choices were at 0.4 and more, forced ones below 0.09 (docs/LOG.md)


@dataclass(frozen=True)
class Source:
    """A step whose block the retriever found close to the question.

    Attributes:
        step: counted from 0.
        score: the layers' mean vote for its block (`model.retrieval.retriever`); comparable within
            one answer only. Attribution, not proof.
        relevance: from 0 to 1, the probability that its passage holds what was asked, which is a
            search's score; None where the checkpoint has no fitted relevance.
    """

    step: int
    score: float
    relevance: float | None = None


@dataclass(frozen=True)
class Found:
    """A step that a search found, and how sure it is.

    Attributes:
        step: counted from 0.
        vote: of all layers and words together for its block, as log-odds; comparable within one
            search only.
        score: from 0 to 1, the probability that its passage holds what was asked
            (`model.retrieval.relevance`); None where the checkpoint has no fitted relevance.
    """

    step: int
    vote: float
    score: float | None


@dataclass(frozen=True)
class Usage:
    """Tokens read and written, and memory rows attended per layer.

    Attributes:
        prompt_tokens, completion_tokens: read and written.
        memory_rows: attended in each layer, at most.
    """

    prompt_tokens: int
    completion_tokens: int
    memory_rows: int


@dataclass(frozen=True)
class Answer:
    """What a memory says, and what it drew on.

    Attributes:
        text: what was generated.
        sources: steps whose rows the retriever ranks best, the best first.
        finish_reason: why it ended.
        usage: tokens and rows.
    """

    text: str
    sources: list[Source]
    finish_reason: FinishReason
    usage: Usage


def answer_of(generation: Generation, count: int = 5, relevance: Relevance | None = None) -> Answer:
    """What a generation has come to.

    Args:
        count: so many sources at most.
        relevance: fitted to this checkpoint; without one sources have none.
    """
    reading = generation.reading
    votes = reading.known_votes
    best = votes.topk(min(count, len(votes)))
    pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
    return Answer(
        text=generation.shown,
        sources=_sources(reading, [pair for pair in pairs if pair[1] > -math.inf], relevance),
        finish_reason=generation.finish_reason or "cancelled",
        usage=Usage(len(generation.prompt), len(generation.tokens), reading.memory_rows),
    )


def _sources(
    reading: Reading, ranked: Sequence[tuple[int, float]], relevance: Relevance | None
) -> list[Source]:
    """Steps with their votes, and how relevant they are."""
    if relevance is None or not ranked:
        return [Source(step, score) for step, score in ranked]
    votes = reading.found_votes.double().cpu().numpy()
    likely = relevance(votes, [step for step, _ in ranked])
    return [Source(*pair, sure) for pair, sure in zip(ranked, likely, strict=True)]


def refuses(generation: Generation) -> bool:
    """Whether the model itself says that memory does not hold the answer."""
    refusal = generation.reading.view.network.config.refusal
    return refusal is not None and generation.shown == refusal.strip()


def is_forced(generation: Generation) -> bool:
    """Whether an answer's form made the model say what it would hardly have said: a choice when it
    would have told something else, or a number that goes on. JSON is always forced, and says
    nothing of that."""
    constraint = generation.sampling.constraint
    if constraint is None or constraint.regex is None:
        return False
    return min(generation.logprobs, default=0.0) < _HARDLY


def blocks_known(generation: Generation) -> int:
    """Blocks of its memory that could be read."""
    return int(generation.reading.known_votes.isfinite().sum())


def evidence_of(generation: Generation) -> Evidence:
    """What an answer shows of how much of it was in memory."""
    votes = generation.reading.known_votes
    known = votes[votes.isfinite()].cpu().numpy()
    return Evidence.of(known, generation.logprobs, generation.entropy, generation.refusal_odds)
