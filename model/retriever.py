"""Which long-term rows a question reads (M+, section 3.3), and which steps they speak for.

Official checkpoints retrieve rows, layer by layer, during the read pass. Our own retrieve whole
blocks by a vote of all layers, before it: one pass over the question gives every layer's queries.

Legend: n question tokens, s key width, R rows, K rows a block.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from model.blocks import layer_scores
from model.membership import Ids
from model.store import RowStore

_SCORE_BLOCK = 8192  # rows scored at a time, so that their scores stay in the cache


def row_scores(queries: Tensor, keys: Tensor) -> Tensor:
    """Mean over the question of sigmoid(q·k): [n, s] and [R, s] → [R] float32."""
    out = torch.empty(keys.shape[0], dtype=torch.float32, device=keys.device)
    for start in range(0, keys.shape[0], _SCORE_BLOCK):
        rows = slice(start, start + _SCORE_BLOCK)
        block = F.linear(queries, keys[rows].to(queries.dtype))
        torch.mean(block.sigmoid_(), dim=0, dtype=torch.float32, out=out[rows])
    return out


class RowScores:
    """Scores of all rows of one layer up to a step, addressed by row id."""

    def __init__(self, queries: Tensor, store: RowStore, layer: int, steps: int) -> None:
        slabs = list(store.key_slabs(layer, steps))
        self.first = slabs[0][0] if slabs else 0
        scores = [row_scores(queries, keys) for _, keys in slabs]
        self.values = torch.cat(scores) if scores else queries.new_empty(0)

    def top(self, candidates: Ids, count: int) -> Ids:
        """The `count` best of the candidate ids (all of them, if fewer), oldest first."""
        if len(candidates) <= count:
            return np.sort(candidates)
        local = torch.from_numpy(candidates - self.first).to(self.values.device)
        best = self.values[local].topk(count, sorted=False).indices
        return np.sort(candidates[best.cpu().numpy()])

    def votes(self, rows_per_block: int) -> Tensor:
        """Each step by the best of its rows, in standard deviations above the mean, [steps]."""
        best = self.values[-self.first :].view(-1, rows_per_block).amax(1)
        if len(best) < 2:
            return torch.zeros_like(best)
        return (best - best.mean()) / best.std().clamp_min(1e-12)


def block_votes(queries: Tensor, store: RowStore, layer: int, steps: int) -> Tensor:
    """One layer's vote for every step's block, [steps]."""
    size = store.config.num_tokens
    votes = [
        layer_scores(queries[None], keys.to(queries.dtype).view(-1, size, keys.shape[1]))[0]
        for first, keys in store.key_slabs(layer, steps)
        if first >= 0
    ]
    return torch.cat(votes) if votes else queries.new_empty(0)


def rows_of_best_blocks(
    votes: Tensor, retrievable: Sequence[Ids], rows_per_block: int, count: int
) -> list[Ids]:
    """The long-term rows of the `count` best-voted blocks, oldest first, per layer.

    Only steps with a row in the long-term memory of some layer stand for election; those of
    their rows that are still in the pool are attended there.
    """
    born = [ids // rows_per_block for ids in retrievable]
    candidates = np.unique(np.concatenate(born))
    scores = votes[torch.from_numpy(candidates).to(votes.device)]
    best = scores.topk(min(count, len(candidates)), sorted=False).indices.cpu().numpy()
    chosen = candidates[best]
    return [
        np.sort(ids[np.isin(steps, chosen)]) for ids, steps in zip(retrievable, born, strict=True)
    ]
