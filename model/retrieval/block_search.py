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
class Ballot:
    """One question to one memory.

    Attributes:
        queries: L × [n, s], of a pass over the question alone.
        steps: of the memory.
        known: [steps], blocks that an answer may draw on or name.
        eligible: [steps], those of them that may be retrieved.
        seats: how many are.
    """

    queries: Sequence[Tensor]
    store: RowStore
    steps: int
    known: Steps
    eligible: Steps
    seats: int


def hold(ballot: Ballot) -> Tensor:
    """The layers' votes for every step's block [steps]: exact for the best, near for the others."""
    index = ballot.store.index
    if index is None or ballot.steps < index.start or not ballot.known.any():
        return exact_votes(ballot)
    ballot.store.extend_index(ballot.steps)
    lists, listed = index.listed(ballot.steps)
    if lists is not None and listed:
        votes = _from_lists(ballot, index, lists, listed)
    else:
        votes = _from_copies(ballot, index)
    return exact_votes(ballot) if votes is None else votes


def exact_votes(ballot: Ballot, first: int = 0) -> Tensor:
    """Votes for the steps from `first` on, every row scored."""
    return torch.stack(
        [
            block_votes(query, ballot.store, layer, first, ballot.steps)
            for layer, query in enumerate(ballot.queries)
        ]
    ).sum(0)


def _estimated(ballot: Ballot, index: BlockIndex, first: int) -> Tensor:
    """Votes for the steps from `first` on: near where there are copies, exact behind them."""
    near = index.near_votes(ballot.queries, first, ballot.steps)
    return torch.cat([near, exact_votes(ballot, first + len(near))])


def _from_copies(ballot: Ballot, index: BlockIndex) -> Tensor | None:
    """None if that is not sure."""
    near = _estimated(ballot, index, 0)
    count = _LOOKED
    while count * _ONE_IN < ballot.steps:
        chosen = _best(near, ballot, count)
        exact = votes_of(ballot.queries, ballot.store, chosen)
        votes = near.clone()
        votes[chosen] = exact
        left = near.masked_fill(~torch.from_numpy(ballot.eligible), -torch.inf)
        left[chosen] = -torch.inf
        error = float((exact - near[chosen]).abs().max())
        if float(left.max()) + 2 * error <= _last_seat(votes, ballot):
            return votes
        count *= _MORE
    return None


def _from_lists(ballot: Ballot, index: BlockIndex, lists: Lists, listed: int) -> Tensor | None:
    """None if more candidates would be needed than pays."""
    found, sample, sampled = lists.estimates(ballot.queries, ballot.known[:listed])
    near = torch.cat([found, _estimated(ballot, index, listed)])
    count = _LISTED
    while count * _ONE_IN < ballot.steps:
        chosen = _best(near, ballot, count)
        front = _best(near, ballot, count // _FRONT)
        votes = near.clone()
        votes[chosen] = votes_of(ballot.queries, ballot.store, chosen)
        winners = _top(votes, ballot.eligible, ballot.seats)
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


def _best(votes: Tensor, ballot: Ballot, count: int) -> Ids:
    """The `count` best of the eligible, and of the known, ascending."""
    return np.union1d(*(_top(votes, mask, count) for mask in (ballot.eligible, ballot.known)))


def _top(votes: Tensor, mask: Steps, count: int) -> Ids:
    steps = np.flatnonzero(mask)
    best = votes[torch.from_numpy(steps)].topk(min(count, len(steps)), sorted=False).indices
    return steps[best.numpy()]


def _last_seat(votes: Tensor, ballot: Ballot) -> float:
    """The vote of the worst that is retrieved."""
    eligible = votes[torch.from_numpy(ballot.eligible)]
    seats = min(ballot.seats, len(eligible))
    return float(eligible.topk(seats).values.min()) if seats else -torch.inf
