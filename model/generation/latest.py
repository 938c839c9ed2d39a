"""Of statements that answer the same question, the latest: the others were true before.

Blocks are read side by side, none before another, so a reader cannot tell which of two statements
is newer ("Maren lives in Dorvas." and, later, "Maren has moved to Brelin."). Where several short
blocks about the same names would be read, each is read alone first, up to the first token of its
answer: those of which the model does not say that they leave the question open answer it, and of
these the latest stays. It needs a checkpoint that was trained to refuse.

Legend: B sequences, n tokens of a prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mplus_ray.model.generation.forward import forward
from mplus_ray.model.generation.memory_view import MemoryView
from mplus_ray.model.generation.reading import Reading
from mplus_ray.model.index.word_nearness import NEAREST
from mplus_ray.model.network.decoder import Network

_CANDIDATES = 8  # blocks that are read alone, the best voted, of equal ones the latest
_LONGEST = 96  # tokens of a chunk that is one statement, its header included


class Trained(NamedTuple):
    """What a checkpoint was trained to say where a block does not answer.

    Attributes:
        refusal: the token that it begins with.
        odds: log-odds of another beginning from which on a block answers.
    """

    refusal: int
    odds: float


def latest_votes(
    network: Network,
    views: Sequence[MemoryView],
    prompts: Sequence[Tensor],
    votes: Sequence[Tensor],
    trained: Trained,
) -> list[Tensor]:
    """Votes [steps] of each memory, in which statements that were true before stand back.

    The latest comes before all others by more than the largest gap, so that it is read alone, and
    those that it replaces come after it.

    Args:
        prompts: token ids [n].
        votes: as `block_votes` gives them.
        trained: how the checkpoint refuses.
    """
    rivals = [_rivals(*each) for each in zip(views, prompts, votes, strict=True)]
    asked = [(place, step) for place, steps in enumerate(rivals) for step in steps]
    if not asked:
        return list(votes)
    readings = [_alone(views[place], step) for place, step in asked]
    logits = forward(network, readings, [prompts[place] for place, _ in asked], False, None)
    settled = list(votes)
    for place, steps in enumerate(rivals):
        odds = {
            step: answering_odds(rows[-1].float().log_softmax(0), trained.refusal)
            for (at, step), rows in zip(asked, logits, strict=True)
            if at == place
        }
        answering = [step for step in steps if odds[step] >= trained.odds]
        if len(answering) > 1:
            settled[place] = _settled(views[place], votes[place], answering)
    return settled


def answering_odds(logprobs: Tensor, refusal: int) -> float:
    """Log-odds that an answer does not begin as a refusal, by the log-probabilities [vocab] of its
    first token."""
    others = logprobs.clone()
    others[refusal] = -torch.inf
    return float(others.logsumexp(0) - logprobs[refusal])


def _settled(view: MemoryView, votes: Tensor, answering: Sequence[int]) -> Tensor:
    """With the latest of some steps before the others."""
    latest = view.order.latest(answering)
    votes, beyond = votes.clone(), (view.network.config.max_vote_gap or 0.0) + 1.0
    others = [step for step in answering if step != latest]
    votes[others] = votes[others].clamp_max(float(votes[latest]) - beyond)
    votes[latest] = votes.max() + beyond
    return votes


def _alone(view: MemoryView, step: int) -> Reading:
    """A reading of one block."""
    size = view.network.config.num_tokens
    reading = Reading.of(view)
    reading.fetch(
        [ids[(ids >= step * size) & (ids < (step + 1) * size)] for ids in view.retrievable]
    )
    return reading


def _rivals(view: MemoryView, prompt: Tensor, votes: Tensor) -> list[int]:
    """Short blocks that could be read and are about the same; none, if there are not two."""
    words, store = view.words, view.memory.store
    if words is None:
        return []
    scores = votes.double().cpu().numpy()
    scores = np.where(view.eligible_steps[: len(scores)], scores, -np.inf)
    # Of thousands of blocks only those are put in order that can be among the first.
    least = np.partition(scores, -NEAREST)[-NEAREST] if len(scores) > NEAREST else -np.inf
    near = np.flatnonzero((scores > 0) & (scores >= least)).tolist()
    near.sort(key=lambda at: (scores[at], view.order.place(at)), reverse=True)
    chunks = {at: store.chunk(at) for at in near[:NEAREST]}
    short = [at for at, chunk in chunks.items() if len(chunk) <= _LONGEST]
    if len(short) < 2:
        return []
    ids = prompt.tolist()
    asked = set(words.of_prompt(ids))
    names = words.names(ids) | words.names(chunks[short[0]])
    shared = {at: asked & set(words.telling(chunks[at])) for at in short}
    subject = shared[short[0]] & names or shared[short[0]]
    same = [at for at in short if subject <= shared[at]][:_CANDIDATES]
    return same if len(same) > 1 else []
