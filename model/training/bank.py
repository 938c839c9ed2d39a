"""Detached blocks of earlier steps: the rest of a long memory, for training and evaluation."""

from __future__ import annotations

from random import Random
from typing import Any

import torch
from torch import Tensor


class Bank:
    """The last `capacity` blocks of hidden rows, [L, K, d] each, in one ring, where they came
    from: on a GPU it takes that many blocks of its memory."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._blocks: list[Tensor] = []
        self._next = 0

    def __len__(self) -> int:
        return len(self._blocks)

    def add(self, blocks: Tensor) -> None:
        """Keep blocks [b, L, K, d], the oldest make room."""
        for block in blocks.detach():
            if len(self._blocks) < self.capacity:
                self._blocks.append(block.clone())
            elif self.capacity:
                self._blocks[self._next] = block.clone()
                self._next = (self._next + 1) % self.capacity

    def sample(self, rng: Random, count: int) -> Tensor | None:
        """`count` different blocks (fewer if there are not so many) [b, L, K, d], or None."""
        count = min(count, len(self._blocks))
        return torch.stack(rng.sample(self._blocks, count)) if count else None

    def state(self) -> dict[str, Any]:
        """Everything that `restore` needs, for `torch.save`."""
        return {"blocks": self._blocks, "next": self._next}

    def restore(self, state: dict[str, Any], device: torch.device) -> None:
        """Become the bank that gave the state; of a larger one only what fits is kept."""
        self._blocks = [block.to(device) for block in state["blocks"][: self.capacity]]
        self._next = state["next"] if state["next"] < len(self._blocks) else 0
