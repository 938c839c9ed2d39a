"""Where rows stand when a question is read in training: [bos | retrieved | pool | prompt].

Own blocks (of the question's document) are retrieved, or still in the pool at some age, or
split between the two as drops split them, layer by layer; other blocks fill the places around.

Legend: D documents, Q questions, L layers, K rows a block, F own rows, R pool rows, d hidden size.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import torch
from torch import Tensor

from mplus_ray.model.training.network.read_pass import Surroundings


@dataclass(frozen=True)
class Layout:
    """The circumstances of one step.

    Attributes:
        pool: other blocks whose rows are in the pool.
        beside: other blocks that were retrieved; 0 with `in_pool` 1 means nothing was.
        slot: how many of those are older than the own ones.
        in_pool: share of the own rows still in the pool.
        age: where in the pool those stand, 0 oldest … 1 newest.
        kept: share of the own rows that are anywhere at all.
        survivors: share of the other blocks' rows still in the pool.
    """

    pool: int
    beside: int
    slot: int
    in_pool: float
    age: float
    kept: float
    survivors: float

    @classmethod
    def draw(cls, rng: Random, pool: int, beside: int) -> Layout:
        """Own rows are retrieved in two cases of three, where anything is retrieved."""
        share = 1.0 if beside == 0 else rng.choice((0.0, 0.0, 0.0, 0.0, 1.0, rng.random()))
        return cls(
            pool=pool,
            beside=beside if share < 1 else 0,
            slot=rng.randrange(beside + 1),
            in_pool=share,
            age=1.0 if rng.random() < 0.2 else rng.random(),
            kept=rng.choice((1.0, 1.0, 1.0, rng.uniform(0.6, 1.0))),
            survivors=rng.uniform(0.5, 1.0),
        )

    def place(
        self, own: Tensor, owners: Tensor, others: Tensor, rows_per_block: int
    ) -> Surroundings:
        """Give every row its position.

        Args:
            own: each document's blocks, [D, L, F, d].
            owners: [Q] the document of each question.
            others: the blocks around, [beside + pool, L, K, d].
        """
        layers, size = own.shape[1], own.shape[2]
        slot = 1 + self.slot * rows_per_block if self.in_pool < 1 else 1
        first = 1 + self.beside * rows_per_block + (size if self.in_pool < 1 else 0)
        near = others[: self.beside].transpose(0, 1).flatten(1, 2)  # [L, beside · K, d]
        far = others[self.beside :].transpose(0, 1).flatten(1, 2)
        near_at = _leave_gap(torch.arange(1, 1 + near.shape[1]), slot, size * (self.in_pool < 1))
        shared, shared_at, own_at = [], [], []
        start, device = first, own.device
        # Drawn and counted on the CPU, so that a device draws the same and is never waited for.
        for layer in range(layers):
            left = (torch.rand(far.shape[1]) < self.survivors).nonzero()[:, 0]
            own_in_pool = torch.rand(size) < self.in_pool
            arrived = first + round(self.age * len(left))
            gap = int(own_in_pool.sum())
            pool_at = _leave_gap(torch.arange(first, first + len(left)), arrived, gap)
            at = torch.arange(slot, slot + size)
            at[own_in_pool] = torch.arange(arrived, arrived + gap)
            at[torch.rand(size) >= self.kept] = -1
            shared.append(torch.cat([near[layer], far[layer][left.to(device)]]))
            shared_at.append(torch.cat([near_at, pool_at]).to(device))
            own_at.append(at)
            start = max(start, first + len(left) + gap)
        at = torch.stack(own_at).to(device)
        return Surroundings(shared, shared_at, own, owners, at, start)


def _leave_gap(positions: Tensor, at: int, gap: int) -> Tensor:
    """Positions from `at` on move up by `gap`."""
    return torch.where(positions >= at, positions + gap, positions)
