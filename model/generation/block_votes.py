"""What layers and words vote for the blocks of a memory, given a question.

Legend: n tokens of a prompt, L layers, s retriever key width.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mplus_ray.model.errors import InvalidInputError
from mplus_ray.model.generation.forward import forward
from mplus_ray.model.generation.memory_view import MemoryView
from mplus_ray.model.generation.reading import Reading
from mplus_ray.model.index.word_nearness import NEAREST, nearness
from mplus_ray.model.network.decoder import Network
from mplus_ray.model.retrieval.block_search import BlockQuery, vote


def block_votes(
    network: Network, views: Sequence[MemoryView], prompts: Sequence[Tensor], top_k: int
) -> list[Tensor]:
    """What layers and words vote for every block of each memory, [steps] each.

    Args:
        top_k: so many best blocks have exact votes.
    """
    config = network.config
    by_layers: list[list[Tensor] | None] = [None] * len(views)
    if config.has_retriever:
        by_layers = [*layer_queries(network, views, prompts)]
    votes = []
    for view, queries, prompt in zip(views, by_layers, prompts, strict=True):
        memory, known, eligible = view.memory, view.known_steps, view.eligible_steps
        total = torch.zeros(memory.step, device=network.device)
        if queries is not None:
            total = vote(BlockQuery(queries, memory.store, memory.step, known, eligible, top_k))
        if config.votes != "layers":
            total = total + _word_votes(view, prompt)
        votes.append(total)
    return votes


def _word_votes(view: MemoryView, prompt: Tensor) -> Tensor:
    """What the words of a prompt are worth to every block [steps], in log-odds."""
    if view.words is None:
        raise InvalidInputError("this checkpoint finds blocks by words; give the view its words")
    store, step = view.memory.store, view.memory.step
    store.extend_words(step, view.words.of_chunk)
    assert store.words is not None
    asked, known = view.words.of_prompt(prompt.tolist()), view.known_steps
    idf = store.words.idf(asked, known)
    scores = store.words.scores(idf, known)
    best = np.argsort(-scores, kind="stable")[:NEAREST]
    for at in best[scores[best] > 0].tolist():
        scores[at] += nearness(asked, view.words.telling(store.chunk(at)), idf)
    votes: Tensor = torch.from_numpy(scores).to(prompt.device) * view.network.config.word_vote
    return votes


@torch.no_grad()
def layer_queries(
    network: Network, views: Sequence[MemoryView], prompts: Sequence[Tensor]
) -> list[list[Tensor]]:
    """Each prompt's retriever queries in every layer, L × [n, s], read with no memory."""
    alone = [Reading.of(view.without_memory) for view in views]
    queries: dict[int, list[Tensor]] = {id(blank): [] for blank in alone}
    for blank in alone:
        blank.fetch_nothing()
    forward(network, alone, prompts, False, lambda blank, _, q: queries[id(blank)].append(q))
    return [queries[id(blank)] for blank in alone]
