"""What one training step hands to the loop."""

from __future__ import annotations

from random import Random
from typing import NamedTuple, Protocol

from torch import Tensor

from model.network import Network


class Step(NamedTuple):
    loss: Tensor
    tokens: int  # tokens the network read, the unit of every budget
    parts: dict[str, float]  # figures for the log


class Task(Protocol):
    """A phase's batches and loss; all randomness comes from `rng`."""

    def loss(self, network: Network, rng: Random) -> Step: ...
