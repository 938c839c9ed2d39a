"""The passages a question would draw on, found without an answer: no token is decoded."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from mplus_ray.model.generation.answer import Found
from mplus_ray.model.generation.memory_view import MemoryView
from mplus_ray.model.generation.read_pass import votes_for
from mplus_ray.model.network.decoder import Network
from mplus_ray.model.retrieval.relevance import Relevance


def search(
    network: Network,
    view: MemoryView,
    prompt: Sequence[int],
    limit: int,
    relevance: Relevance | None = None,
) -> list[Found]:
    """The `limit` best-voted steps of a memory that can be read, the best first.

    The vote is the one that an answer to the same prompt reads its blocks by.

    Args:
        prompt: token ids of the question as it would be asked, at least one.
        relevance: fitted to this checkpoint; without one scores are None.

    Raises:
        InvalidInputError: the checkpoint has no long-term memory to search.
    """
    ids = torch.tensor(list(prompt), device=network.device)
    votes = votes_for(network, [view], [ids], limit)[0]
    numbers = votes.double().cpu().numpy()
    numbers = np.where(view.known_steps[: len(numbers)], numbers, -np.inf)
    order = np.argsort(-numbers, kind="stable")[:limit]
    best = [int(step) for step in order if numbers[step] > -math.inf]
    scores = relevance(numbers, best) if relevance is not None else [None] * len(best)
    return [
        Found(step, float(numbers[step]), score) for step, score in zip(best, scores, strict=True)
    ]
