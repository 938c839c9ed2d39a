"""Which long-term rows a question reads (M+, section 3.3), and which steps they speak for.

Official checkpoints retrieve rows, layer by layer, during the read pass. Our own retrieve whole
blocks by a vote of all layers, before it: one pass over the question gives every layer's queries.

Legend: n question tokens, s key width, R rows, K rows a block.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from mplus_ray.model.ids import Ids
from mplus_ray.model.index.int8_keys import approximate_scores, quantile_threshold
from mplus_ray.model.retrieval.block_scores import layer_scores
from mplus_ray.model.store.row_store import RowStore

_SCORE_BLOCK = 4096  # rows scored at a time, so that their scores stay in the cache
# When a first look is taken, so many rows are scored exactly for each row wanted, and at least
# one in so many of all: the more rows there are, the closer together the best of them lie.
_CANDIDATES, _ONE_IN = 4, 16
_WORTH_A_LOOK = 2  # times as many rows as candidates make the first look worth its time


def row_scores(queries: Tensor, keys: Tensor) -> Tensor:
    """Mean over the question of sigmoid(q·k): [n, s] and [R, s] → [R] float32."""
    out = torch.empty(keys.shape[0], dtype=torch.float32, device=keys.device)
    for start in range(0, keys.shape[0], _SCORE_BLOCK):
        rows = slice(start, start + _SCORE_BLOCK)
        block = F.linear(keys[rows].to(queries.dtype), queries)
        torch.mean(block.sigmoid_(), dim=1, dtype=torch.float32, out=out[rows])
    return out


@dataclass(frozen=True)
class Candidates:
    """The rows of one layer that may be retrieved.

    Attributes:
        ids: their row ids, in the order of the long-term memory.
        first: id of the oldest row of the store.
        barred: [R] for every row of the store, true where it may not.
    """

    ids: Ids
    first: int
    barred: Tensor

    @classmethod
    def of(cls, ids: Ids, first: int, end: int, device: torch.device) -> Candidates:
        barred = np.ones(end - first, dtype=bool)
        barred[ids - first] = False
        return cls(ids, first, torch.from_numpy(barred).to(device))


def retrieve_rows(
    queries: Tensor, store: RowStore, layer: int, candidates: Candidates, count: int
) -> tuple[Ids, Tensor]:
    """The `count` best candidate rows of a layer (all, if fewer), and every step's vote.

    Args:
        queries: [n, s], query_proj of the question's normed hidden states at this layer.

    Returns:
        Row ids, oldest first; and [steps], each step by the best of its rows, in standard
        deviations above the mean.
    """
    few = len(candidates.barred) < _WORTH_A_LOOK * _CANDIDATES * count
    scored = None
    if store.coarse and not few and len(candidates.ids) > count:
        scored = _look_first(queries, store, layer, candidates, count)
    scores, chosen = scored or _score_all(queries, store, layer, candidates, count)
    best = scores[-candidates.first :].view(-1, store.config.num_tokens).amax(1)
    return np.sort(chosen), _standardize(best)


def _score_all(
    queries: Tensor, store: RowStore, layer: int, candidates: Candidates, count: int
) -> tuple[Tensor, Ids]:
    """Every row's score, and the ids of the best candidates."""
    end = candidates.first + len(candidates.barred)
    parts = [row_scores(queries, keys) for keys in store.keys(layer, end)]
    scores = torch.cat(parts) if parts else queries.new_empty(0)
    if len(candidates.ids) <= count:
        return scores, candidates.ids
    allowed = scores.masked_fill(candidates.barred, -1.0)
    best = allowed.topk(count, sorted=False).indices.cpu().numpy()
    return scores, best + candidates.first


def _look_first(
    queries: Tensor, store: RowStore, layer: int, candidates: Candidates, count: int
) -> tuple[Tensor, Ids] | None:
    """Scores that are exact where it matters, or None where that is not sure.

    A row below the threshold could only belong to the `count` best if the first look had
    underestimated it by more than it ever did among the rows that were scored exactly.
    """
    end = candidates.first + len(candidates.barred)
    parts = [approximate_scores(queries, *pair) for pair in store.coarse_keys(layer, end)]
    scores = torch.cat(parts)
    allowed = scores.masked_fill(candidates.barred, -1.0)
    threshold = quantile_threshold(allowed, max(_CANDIDATES * count, len(allowed) // _ONE_IN))
    threshold = max(threshold, 0.0)  # barred rows lie below
    looked = (allowed >= threshold).nonzero()[:, 0]
    if len(looked) < count:
        return None
    exact = row_scores(queries, store.gather_keys(layer, looked.numpy() + candidates.first))
    underestimate = float((exact - scores[looked]).max())
    winners = exact.topk(count, sorted=False)
    if threshold + max(0.0, underestimate) > float(winners.values.min()):
        return None
    scores[looked] = exact
    return scores, looked[winners.indices].numpy() + candidates.first


def _standardize(scores: Tensor) -> Tensor:
    if len(scores) < 2:
        return torch.zeros_like(scores)
    return (scores - scores.mean()) / scores.std().clamp_min(1e-12)


def block_votes(queries: Tensor, store: RowStore, layer: int, first: int, end: int) -> Tensor:
    """One layer's vote for the blocks of steps first … end - 1."""
    size = store.config.num_tokens
    votes = [
        layer_scores(queries[None], keys.to(queries.dtype).view(-1, size, keys.shape[1]))[0]
        for keys in store.keys(layer, end * size, first * size)
    ]
    return torch.cat(votes) if votes else queries.new_empty(0)


def votes_of(queries: Sequence[Tensor], store: RowStore, steps: Ids) -> Tensor:
    """What all layers vote for these steps' blocks, which must ascend."""
    size = store.config.num_tokens
    rows = (steps[:, None] * size + np.arange(size)).ravel()
    votes = torch.zeros(len(steps), device=store.device)
    for layer, query in enumerate(queries):
        keys = store.gather_keys(layer, rows).to(query.dtype)
        votes += layer_scores(query[None], keys.view(len(steps), size, -1))[0]
    return votes


def rows_of_best_blocks(
    votes: Tensor,
    eligible: NDArray[np.bool_],
    retrievable: Sequence[Ids],
    rows_per_block: int,
    count: int,
    recent: int = 0,
    gap: float | None = None,
) -> list[Ids]:
    """The retrievable rows of the `count` best-voted blocks, oldest first, per layer.

    Only steps with a retrievable row in some layer are eligible; those of their rows that every
    question reads anyway are attended there. The newest `recent` steps are chosen unseen.

    Args:
        retrievable: ascending.
        gap: a block further behind the best vote is left out.
    """
    candidates = np.flatnonzero(eligible)
    scores = votes[torch.from_numpy(candidates).to(votes.device)]
    least = -torch.inf if gap is None or not len(scores) else float(scores.max()) - gap
    if recent:
        scores[-recent:] = torch.inf
    chosen = scores.topk(min(count, len(candidates)), sorted=False)
    best = chosen.indices[chosen.values >= least].cpu().numpy()
    starts = np.sort(candidates[best]) * rows_per_block
    return [_rows_of(ids, starts, rows_per_block) for ids in retrievable]


def _rows_of(ids: Ids, starts: Ids, size: int) -> Ids:
    """Those of ascending ids that are in the blocks that begin at `starts`."""
    bounds = zip(np.searchsorted(ids, starts), np.searchsorted(ids, starts + size), strict=True)
    parts = [ids[low:high] for low, high in bounds]
    return np.concatenate(parts) if parts else ids[:0]
