"""The read pass: prompts of many tenants attend to their memories and yield logits.

Legend: B sequences, n tokens of a prompt, s retriever key width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mplus_ray.model.errors import InvalidInputError
from mplus_ray.model.generation.block_votes import block_votes
from mplus_ray.model.generation.forward import Retrieve, forward
from mplus_ray.model.generation.latest import Trained, latest_votes
from mplus_ray.model.generation.memory_view import MemoryView
from mplus_ray.model.generation.reading import Reading
from mplus_ray.model.network.decoder import Network
from mplus_ray.model.retrieval.retriever import retrieve_rows, rows_of_best_blocks


@torch.no_grad()
def begin(
    network: Network,
    views: Sequence[MemoryView],
    prompts: Sequence[Tensor],
    whole: bool = False,
    refusal: int | None = None,
) -> tuple[list[Reading], list[Tensor]]:
    """Read one prompt against each of B memories, which may repeat.

    Args:
        prompts: token ids [n], n ≥ 1, on the network's device.
        whole: logits of every prompt token, not just of the last.
        refusal: the token that a refusal begins with; with it, and where the checkpoint says from
            which odds on, statements that were true before are left out.

    Returns:
        The readings, to be continued by `extend`, and logits [n or 1, vocab] of each.
    """
    readings = [Reading.of(view) for view in views]
    retrieve: Retrieve | None = None
    if not network.config.has_long_term:
        for reading in readings:
            reading.fetch_nothing()
    elif network.config.retrieval == "blocks":
        _retrieve_blocks(network, readings, prompts, refusal)
    else:
        retrieve = _retrieve_rows
    return readings, forward(network, readings, prompts, whole, retrieve)


@torch.no_grad()
def votes_for(
    network: Network, views: Sequence[MemoryView], prompts: Sequence[Tensor], top_k: int
) -> list[Tensor]:
    """The votes that `begin` would give every step of each memory, [steps] each, summed over
    layers; nothing is retrieved or decoded where blocks are voted for.

    Args:
        prompts: token ids [n], n ≥ 1, on the network's device.
        top_k: so many best steps have exact votes.

    Raises:
        InvalidInputError: the checkpoint has no long-term memory to search.
    """
    if not network.config.has_long_term:
        raise InvalidInputError(
            "this checkpoint reads all of its memory and retrieves nothing, so it cannot search"
        )
    if network.config.retrieval == "blocks":
        return block_votes(network, views, prompts, top_k)
    # Each layer looks for rows with what the question has become by what it retrieved before.
    readings, _ = begin(network, views, prompts)
    return [torch.empty(0) if one.votes is None else one.votes for one in readings]


@torch.no_grad()
def extend(network: Network, readings: Sequence[Reading], tokens: Tensor) -> Tensor:
    """One more token [B] for each reading; returns the logits [B, vocab] that follow it."""
    return torch.cat(forward(network, readings, list(tokens[:, None]), False, None))


def _retrieve_rows(reading: Reading, layer: int, queries: Tensor) -> None:
    """The K0 best rows of this layer, by what the question has become there."""
    view = reading.view
    best, votes = retrieve_rows(
        queries,
        view.memory.store,
        layer,
        view.candidates[layer],
        view.network.config.retrieved_rows,
    )
    reading.vote(votes)
    reading.fetch([best])


def _retrieve_blocks(
    network: Network,
    readings: Sequence[Reading],
    prompts: Sequence[Tensor],
    refusal: int | None,
) -> None:
    """The best blocks by all layers' queries, from a pass over the question alone, or by words."""
    config = network.config
    views = [reading.view for reading in readings]
    found = all_votes = block_votes(network, views, prompts, config.num_ltm_blocks)
    if refusal is not None and config.latest_odds is not None:
        all_votes = latest_votes(
            network, views, prompts, all_votes, Trained(refusal, config.latest_odds)
        )
    for reading, before, votes in zip(readings, found, all_votes, strict=True):
        reading.found, reading.votes = before, votes
        chosen = rows_of_best_blocks(
            votes,
            reading.view.eligible_steps,
            reading.view.retrievable,
            config.num_tokens,
            config.num_ltm_blocks,
            config.num_recent_blocks,
            config.max_vote_gap,
        )
        reading.fetch(chosen)
