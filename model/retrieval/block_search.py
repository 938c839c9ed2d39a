"""The blocks a question reads: a vote of all layers, exact for all that could win.

A short memory is scored exactly. Of a longer one every block has an estimate
(`model.index.block_index`); the best are scored exactly, more of them until the winners are sure:

- From int8 copies, when no other block can have won if its estimate is as wrong as twice the
  worst seen. So the winners are the exact ones.
- From FAISS lists, when all winners are in the best estimated quarter of the candidates. They are
  nearly always the exact ones: how nearly is what `mplus bench index` measures.

Legend: L layers, K rows a block, s key width, n question tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mplus_ray.model.ids import Ids
from mplus_ray.model.index.block_index import BlockIndex
from mplus_ray.model.index.faiss_lists import Lists
from mplus_ray.model.retrieval.retriever import block_votes, votes_of
from mplus_ray.model.store.row_store import RowStore

Steps = NDArray[np.bool_]

_LOOKED, _LISTED = 64, 1024  # candidates at first
_FRONT = 4  # winners must be in such a part of the listed candidates, the best estimated
_MORE = 4  # times as many, when they were too few
_ONE_IN = 4  # of all blocks: then all may as well be scored


@dataclass(frozen=True)
class BlockQuery:
    """One question to one memory.

    Attributes:
        queries: L × [n, s], of a pass over the question alone.
        steps: of the memory.
        known: [steps], blocks that an answer may draw on or name.
        eligible: [steps], those of them that may be retrieved.
        top_k: how many are.
        store: the rows and their index.
    """

    queries: Sequence[Tensor]
    store: RowStore
    steps: int
    known: Steps
    eligible: Steps
    top_k: int


def vote(block_query: BlockQuery) -> Tensor:
    """The layers' votes for every step's block [steps]: exact for the best, near for the others.

    Where a filter leaves few of the blocks of a memory with lists, these are exact and the others
    have no vote (-inf).
    """
    index = block_query.store.index
    if index is None or block_query.steps < index.start or not block_query.known.any():
        return exact_votes(block_query)
    block_query.store.extend_index(block_query.steps)
    lists, listed = index.listed(block_query.steps)
    if lists is not None and listed:
        few = np.flatnonzero(block_query.known)
        if len(few) <= _LISTED:
            return _votes_for(block_query, few)
        votes = _from_lists(block_query, index, lists, listed)
    else:
        votes = _from_copies(block_query, index)
    return exact_votes(block_query) if votes is None else votes


def _votes_for(block_query: BlockQuery, steps: Ids) -> Tensor:
    """Exact votes for these steps, and -inf for the others."""
    votes = torch.full((block_query.steps,), -torch.inf, device=block_query.store.device)
    if len(steps):
        votes[steps] = votes_of(block_query.queries, block_query.store, steps)
    return votes


def exact_votes(block_query: BlockQuery, first: int = 0) -> Tensor:
    """Votes for the steps from `first` on, every row scored."""
    return torch.stack(
        [
            block_votes(query, block_query.store, layer, first, block_query.steps)
            for layer, query in enumerate(block_query.queries)
        ]
    ).sum(0)


def _estimated(block_query: BlockQuery, index: BlockIndex, first: int) -> Tensor:
    """Votes for the steps from `first` on: near where there are copies, exact behind them."""
    near = index.near_votes(block_query.queries, first, block_query.steps)
    return torch.cat([near, exact_votes(block_query, first + len(near))])


def _from_copies(block_query: BlockQuery, index: BlockIndex) -> Tensor | None:
    """None if that is not sure."""
    near = _estimated(block_query, index, 0)
    count = _LOOKED
    while count * _ONE_IN < block_query.steps:
        chosen = _best(near, block_query, count)
        exact = votes_of(block_query.queries, block_query.store, chosen)
        votes = near.clone()
        votes[chosen] = exact
        left = near.masked_fill(~torch.from_numpy(block_query.eligible), -torch.inf)
        left[chosen] = -torch.inf
        error = float((exact - near[chosen]).abs().max())
        if float(left.max()) + 2 * error <= _last_seat(votes, block_query):
            return votes
        count *= _MORE
    return None


def _from_lists(
    block_query: BlockQuery, index: BlockIndex, lists: Lists, listed: int
) -> Tensor | None:
    """None if more candidates would be needed than pays."""
    found, sample, sampled = lists.estimates(block_query.queries, block_query.known[:listed])
    near = torch.cat([found, _estimated(block_query, index, listed)])
    count = _LISTED
    while count * _ONE_IN < block_query.steps:
        chosen = _best(near, block_query, count)
        front = _best(near, block_query, count // _FRONT)
        votes = near.clone()
        votes[chosen] = votes_of(block_query.queries, block_query.store, chosen)
        winners = _top(votes, block_query.eligible, block_query.top_k)
        if np.isin(winners, front).all():
            _fill(votes[:listed], chosen[chosen < listed], sample, sampled)
            return votes
        count *= _MORE
    return None


def _fill(votes: Tensor, scored: Ids, sample: Ids, sampled: Tensor) -> None:
    """Give blocks that were not scored the votes of sampled ones, in turn.

    So mean and spread of all votes are nearly what they are; none is made to look like a
    candidate.
    """
    values = sampled[torch.from_numpy(~np.isin(sample, scored))]
    others = torch.ones(len(votes), dtype=torch.bool)
    others[scored] = False
    if len(values):
        values = values.clamp_max(float(votes[scored].median()))
        votes[others] = values[torch.arange(int(others.sum())) % len(values)]


def _best(votes: Tensor, block_query: BlockQuery, count: int) -> Ids:
    """The `count` best of the eligible, and of the known, ascending."""
    return np.union1d(
        *(_top(votes, mask, count) for mask in (block_query.eligible, block_query.known))
    )


def _top(votes: Tensor, mask: Steps, count: int) -> Ids:
    steps = np.flatnonzero(mask)
    best = votes[torch.from_numpy(steps)].topk(min(count, len(steps)), sorted=False).indices
    return steps[best.numpy()]


def _last_seat(votes: Tensor, block_query: BlockQuery) -> float:
    """The vote of the worst that is retrieved."""
    eligible = votes[torch.from_numpy(block_query.eligible)]
    top_k = min(block_query.top_k, len(eligible))
    return float(eligible.topk(top_k).values.min()) if top_k else -torch.inf
