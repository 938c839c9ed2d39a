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
        self._blocks: Tensor | None = None  # [capacity, L, K, d] once there is one
        self._held = 0
        self._next = 0

    def __len__(self) -> int:
        return self._held

    def add(self, blocks: Tensor) -> None:
        """Keep blocks [b, L, K, d], the oldest make room."""
        if not self.capacity or not len(blocks):
            return
        if self._blocks is None:
            self._blocks = blocks.new_empty(self.capacity, *blocks.shape[1:])
        newest = blocks.detach()[-self.capacity :]
        first = self._next + len(blocks) - len(newest)
        places = torch.arange(first, first + len(newest), device=blocks.device) % self.capacity
        self._blocks[places] = newest
        self._next = (self._next + len(blocks)) % self.capacity
        self._held = min(self.capacity, self._held + len(blocks))

    def sample(self, rng: Random, count: int) -> Tensor | None:
        """`count` different blocks (fewer if there are not so many) [b, L, K, d], or None."""
        count = min(count, self._held)
        if self._blocks is None or not count:
            return None
        chosen = torch.tensor(rng.sample(range(self._held), count))
        return self._blocks[chosen.to(self._blocks.device)]

    def state(self) -> dict[str, Any]:
        """Everything that `restore` needs, for `torch.save`."""
        blocks = None if self._blocks is None else self._blocks[: self._held]
        return {"blocks": blocks, "next": self._next}

    def restore(self, state: dict[str, Any], device: torch.device) -> None:
        """Become the bank that gave the state; of a larger one only what fits is kept."""
        self._blocks, self._held, self._next = None, 0, 0
        if state["blocks"] is not None:
            self.add(state["blocks"][: self.capacity].to(device))
            if self._held == self.capacity:
                self._next = state["next"] % max(1, self.capacity)
