"""What the loop and a phase's task hand to each other."""

from __future__ import annotations

from random import Random
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from mplus_ray.model.network.decoder import Network


class Roles(NamedTuple):
    """The networks that write and read; one object where the roles share all weights."""

    writer: Network
    reader: Network


class Draws(NamedTuple):
    """Where randomness comes from.

    Attributes:
        common: the same in all shards of a step; it decides shapes, so that workers that gather
            weights layer by layer stay in step and none waits for another.
        own: of this shard; it decides contents.
    """

    common: Random
    own: Random

    @classmethod
    def of(cls, step: str, shard: int) -> Draws:
        return cls(Random(step), Random(f"{step}/{shard}"))


class Step(NamedTuple):
    loss: Tensor
    tokens: int  # tokens the network read, the unit of every budget
    parts: dict[str, float]  # figures for the log, the same names at every step


class Task(Protocol):
    """A phase's batches and loss; all randomness comes from the draws and torch's generator."""

    def draw(self, draws: Draws) -> Any:
        """A batch, on the CPU, from the draws alone: another process may draw it ahead."""
        ...

    def loss(self, roles: Roles, batch: Any, draws: Draws) -> Step:
        """Of a batch; whatever is still to be drawn comes from the draws as `draw` left them."""
        ...

    def state(self) -> dict[str, Any]:
        """What a resumed run needs to go on with the same batches."""
        ...

    def restore(self, state: dict[str, Any], device: torch.device) -> None: ...
