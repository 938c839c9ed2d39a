"""The read pass: prompts of many tenants attend to their memories and yield logits.

At every layer a sequence is [bos | retrieved rows | pool | own tokens]. The memory parts are
attended without a mask and joined by their softmax denominators, so that sequences of one
tenant share its pool without a copy.

Legend: B sequences, n new tokens of a sequence, T tokens of all, d hidden size, H query heads,
G key/value heads, e head dim, s retriever key width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
import torch
from torch import Tensor

from mplus_ray.model.errors import InvalidInputError
from mplus_ray.model.generation.memory_view import MemoryView, Pair
from mplus_ray.model.ids import Ids
from mplus_ray.model.index.word_nearness import NEAREST, nearness
from mplus_ray.model.network.attention import (
    attend,
    attend_part,
    fold_heads,
    join_parts,
    unfold_heads,
)
from mplus_ray.model.network.decoder import Network
from mplus_ray.model.network.rope import rotate
from mplus_ray.model.retrieval.block_search import BlockQuery, vote
from mplus_ray.model.retrieval.retriever import retrieve_rows, rows_of_best_blocks


@dataclass
class Reading:
    """One sequence being read: what it retrieved, and its own keys and values.

    Attributes:
        view: the memory that is read.
        fetched: keys and values of the retrieved rows, by layer.
        retrieved: [n] ids of those rows, by layer.
        length: tokens read so far.
    """

    view: MemoryView
    own: list[Pair] = field(default_factory=list)  # per layer [G, length, e]
    fetched: list[Pair] = field(default_factory=list)
    retrieved: list[Ids] = field(default_factory=list)
    own_start: int = 0  # position of its first token
    votes: Tensor | None = None  # [steps], how well each step's block fits, summed over layers
    length: int = 0

    @property
    def memory_rows(self) -> int:
        """Rows attended per layer, at most."""
        return max(
            (
                len(pool) + len(retrieved)
                for pool, retrieved in zip(self.view.pool_ids, self.retrieved, strict=False)
            ),
            default=0,
        )

    @property
    def known_votes(self) -> Tensor:
        """[steps], the layers' mean vote for each step's block; -inf where nothing of it can be
        read, in the pool or the long-term memory."""
        if self.votes is None:
            return torch.empty(0)
        votes = self.votes / self.view.network.config.num_hidden_layers
        known = torch.from_numpy(self.view.known_steps[: len(votes)])
        return votes.masked_fill(~known.to(votes.device), -torch.inf)

    def see(self, layer: int, k: Tensor, v: Tensor) -> None:
        """Add own rotated keys and values [n, G, e]."""
        k, v = k.transpose(0, 1), v.transpose(0, 1)
        if layer == len(self.own):
            self.own.append((k, v))
        else:
            before_k, before_v = self.own[layer]
            self.own[layer] = torch.cat([before_k, k], dim=1), torch.cat([before_v, v], dim=1)

    def vote(self, votes: Tensor) -> None:
        """Add one layer's votes [steps]."""
        self.votes = votes if self.votes is None else self.votes + votes


# Called with (reading, layer, retriever queries [n, s]) before a layer attends.
Retrieve = Callable[[Reading, int, Tensor], None]


@torch.no_grad()
def begin(
    network: Network, views: Sequence[MemoryView], prompts: Sequence[Tensor], whole: bool = False
) -> tuple[list[Reading], list[Tensor]]:
    """Read one prompt against each of B memories, which may repeat.

    Args:
        prompts: token ids [n], n ≥ 1, on the network's device.
        whole: logits of every prompt token, not just of the last.

    Returns:
        The readings, to be continued by `extend`, and logits [n or 1, vocab] of each.
    """
    readings = [_reading(view) for view in views]
    retrieve: Retrieve | None = None
    if not network.config.has_long_term:
        for reading in readings:
            _fetch(reading, [_NOTHING] * network.config.num_hidden_layers)
    elif network.config.retrieval == "blocks":
        _retrieve_blocks(network, readings, prompts)
    else:
        retrieve = _retrieve_rows
    return readings, _forward(network, readings, prompts, whole, retrieve)


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
        return _block_votes(network, views, prompts, top_k)
    # Each layer looks for rows with what the question has become by what it retrieved before.
    readings, _ = begin(network, views, prompts)
    return [torch.empty(0) if one.votes is None else one.votes for one in readings]


@torch.no_grad()
def extend(network: Network, readings: Sequence[Reading], tokens: Tensor) -> Tensor:
    """One more token [B] for each reading; returns the logits [B, vocab] that follow it."""
    return torch.cat(_forward(network, readings, list(tokens[:, None]), False, None))


_NOTHING = torch.empty(0, dtype=torch.int64).numpy()


def _reading(view: MemoryView) -> Reading:
    """Of a view of which nothing has been retrieved yet."""
    return Reading(view, own_start=view.own_start([]))


def _fetch(reading: Reading, retrieved: Sequence[Ids]) -> None:
    reading.own_start = max(reading.own_start, reading.view.own_start(retrieved))
    for ids in retrieved:
        reading.fetched.append(reading.view.fetch(len(reading.fetched), ids))
        reading.retrieved.append(ids)


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
    _fetch(reading, [best])


def _retrieve_blocks(
    network: Network, readings: Sequence[Reading], prompts: Sequence[Tensor]
) -> None:
    """The best blocks by all layers' queries, from a pass over the question alone, or by words."""
    config = network.config
    views = [reading.view for reading in readings]
    all_votes = _block_votes(network, views, prompts, config.num_ltm_blocks)
    for reading, votes in zip(readings, all_votes, strict=True):
        reading.votes = votes
        chosen = rows_of_best_blocks(
            votes,
            reading.view.eligible_steps,
            reading.view.retrievable,
            config.num_tokens,
            config.num_ltm_blocks,
            config.num_recent_blocks,
            config.max_vote_gap,
        )
        _fetch(reading, chosen)


def _block_votes(
    network: Network, views: Sequence[MemoryView], prompts: Sequence[Tensor], top_k: int
) -> list[Tensor]:
    """What layers and words vote for every block of each memory, [steps] each.

    Args:
        top_k: so many best blocks have exact votes.
    """
    config = network.config
    by_layers: list[list[Tensor] | None] = [None] * len(views)
    if config.has_retriever:
        by_layers = [*hear(network, views, prompts)]
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
def hear(
    network: Network, views: Sequence[MemoryView], prompts: Sequence[Tensor]
) -> list[list[Tensor]]:
    """Each prompt's retriever queries in every layer, L × [n, s], read with no memory."""
    alone = [_reading(view.without_memory) for view in views]
    heard: dict[int, list[Tensor]] = {id(blank): [] for blank in alone}
    for blank in alone:
        _fetch(blank, [_NOTHING] * network.config.num_hidden_layers)
    _forward(network, alone, prompts, False, lambda blank, _, q: heard[id(blank)].append(q))
    return [heard[id(blank)] for blank in alone]


def _forward(
    network: Network,
    readings: Sequence[Reading],
    tokens: Sequence[Tensor],
    whole: bool,
    retrieve: Retrieve | None,
) -> list[Tensor]:
    """New tokens [n] of each reading through all layers → logits [n or 1, vocab] of each.

    All sequences' tokens stand below one another in one matrix; only attention tells them apart.
    """
    counts = [len(ids) for ids in tokens]
    x = network.embed(torch.cat(list(tokens)))
    cos, sin = _angles(network, readings, counts, x)
    last = len(network.layers) - 1
    for index, layer in enumerate(network.layers):
        attention = layer.self_attn
        h = layer.input_layernorm(x)
        if retrieve is not None:
            queries = attention.query_proj(h).split(counts)
            for reading, asked in zip(readings, queries, strict=True):
                retrieve(reading, index, asked)
        keys = rotate(attention.keys(h), cos, sin).split(counts)
        values = attention.values(h).split(counts)
        for reading, k, v in zip(readings, keys, values, strict=True):
            reading.see(index, k, v)
        if index == last and not whole:  # from here on only the last token of each matters
            ends = torch.tensor(counts, device=x.device).cumsum(0) - 1
            x, h, cos, sin = x[ends], h[ends], cos[ends], sin[ends]
            counts = [1] * len(counts)
        q = rotate(attention.queries(h), cos, sin).split(counts)
        x = layer.finish(x, _attend(readings, index, q, network.config.sliding_window))
    for reading, ids in zip(readings, tokens, strict=True):
        reading.length += len(ids)
    return list(network.logits(x).split(counts))


def _attend(
    readings: Sequence[Reading], layer: int, queries: Sequence[Tensor], window: int | None
) -> Tensor:
    """Attention of each reading's newest tokens, queries [n, H, e] each → [T, H, e]."""
    outputs: list[Tensor] = []
    for _, pairs in groupby(zip(readings, queries, strict=True), key=lambda pair: id(pair[0].view)):
        outputs += _attend_view(list(pairs), layer, window)
    return torch.cat(outputs)


def _attend_view(
    pairs: list[tuple[Reading, Tensor]], layer: int, window: int | None
) -> list[Tensor]:
    """Readings of one view: their pool is attended once for all of them."""
    view = pairs[0][0].view
    pool_k, pool_v = view.pool[layer]
    groups = pool_k.shape[0]
    folded = [fold_heads(q, groups) for _, q in pairs]
    parts: list[list[tuple[Tensor, Tensor]]] = [[] for _ in pairs]
    if pool_k.shape[1]:
        out, lse = attend_part(torch.cat(folded, dim=1), pool_k, pool_v)
        sizes = [q.shape[1] for q in folded]
        for mine, o, z in zip(parts, out.split(sizes, 1), lse.split(sizes, 1), strict=True):
            mine.append((o, z))
    outputs = []
    for (reading, q), rows, mine in zip(pairs, folded, parts, strict=True):
        k, v = reading.fetched[layer]
        if k.shape[1]:
            mine.append(attend_part(rows, k, v))
        mine.append(_attend_own(reading, layer, q, window))
        outputs.append(unfold_heads(join_parts(mine), q.shape[0]))
    return outputs


def _attend_own(
    reading: Reading, layer: int, q: Tensor, window: int | None
) -> tuple[Tensor, Tensor]:
    """The newest n own tokens over all own tokens, as a part with folded heads."""
    k, v = reading.own[layer]
    groups, seen, _ = k.shape
    if q.shape[0] == 1:
        first = 0 if window is None else max(0, seen - window)
        return attend_part(fold_heads(q, groups), k[:, first:], v[:, first:])
    repeat = q.shape[1] // groups
    out, lse = attend_part(
        q.transpose(0, 1),
        k.repeat_interleave(repeat, 0),
        v.repeat_interleave(repeat, 0),
        causal=True,
        window=window,
    )
    return out.reshape(groups, -1, q.shape[2]), lse.reshape(groups, -1)


def _angles(
    network: Network, readings: Sequence[Reading], counts: Sequence[int], x: Tensor
) -> tuple[Tensor, Tensor]:
    """Cosines and sines [T, e] at the position of every new token."""
    starts = [reading.own_start + reading.length for reading in readings]
    positions = torch.cat(
        [torch.arange(s, s + n, device=x.device) for s, n in zip(starts, counts, strict=True)]
    )
    cos, sin = network.rotary.tables(max(s + n for s, n in zip(starts, counts, strict=True)), x)
    return cos[positions], sin[positions]


@torch.no_grad()
def hidden_states_alone(network: Network, ids: Tensor) -> list[Tensor]:
    """What enters each layer when these tokens [n] are read with no memory and no bos: [n, d]."""
    x = network.embed(ids)
    cos, sin = network.rotary.tables(len(ids), x)
    states = []
    for layer in network.layers:
        states.append(x)
        h = layer.input_layernorm(x)
        q, k = (
            rotate(part, cos[: len(ids)], sin[: len(ids)])
            for part in (layer.self_attn.queries(h), layer.self_attn.keys(h))
        )
        x = layer.finish(x, attend(q[None], k[None], layer.self_attn.values(h)[None])[0])
    return states
