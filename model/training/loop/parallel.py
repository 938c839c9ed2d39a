"""Processes that train together: replicas that average gradients, or one set of sharded weights.

A step has shards (see `Recipe.shards`), each with draws of its own, and the workers share them
out; so the gradient is the same, up to rounding, whatever the number of workers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import lcm
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor, distribute_tensor

from mplus_ray.model.training.task import Draws, Roles, Step, Task


@dataclass(frozen=True)
class Group:
    """This process's place among those that train; torch's process group must be up if size > 1.

    Attributes:
        sharded: weights, gradients and optimizers are spread over the processes (FSDP).
        rank: this process's number.
        size: how many there are.
    """

    rank: int = 0
    size: int = 1
    sharded: bool = False

    def shards(self, wanted: int) -> list[int]:
        """The shards of a step that this process takes, of the least number all can share."""
        each = lcm(wanted, self.size) // self.size
        return list(range(self.rank * each, (self.rank + 1) * each))

    def gather(self, values: list[list[float]], device: torch.device) -> list[list[float]]:
        """Everybody's rows of numbers, in the order of the shards."""
        if self.size == 1:
            return values
        mine = torch.tensor(values, dtype=torch.float64, device=device)
        parts = [torch.empty_like(mine) for _ in range(self.size)]
        dist.all_gather(parts, mine)
        rows: list[list[float]] = torch.cat(parts).tolist()
        return rows

    def mesh(self, device: torch.device) -> DeviceMesh:
        """The processes as `fully_shard` wants them."""
        return init_device_mesh(device.type, (self.size,))

    def average(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace gradients by their mean over the processes; sharded ones are it already."""
        if self.size == 1 or self.sharded:
            return
        trained = list(parameters)
        device = trained[0].device
        present = torch.tensor([p.grad is not None for p in trained], device=device).int()
        dist.all_reduce(present, dist.ReduceOp.MAX)
        used = [p for p, somewhere in zip(trained, present.tolist(), strict=True) if somewhere]
        grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in used]
        flat = torch.cat([grad.flatten() for grad in grads])
        dist.all_reduce(flat)
        flat /= self.size
        for p, mean in zip(used, flat.split([p.numel() for p in used]), strict=True):
            p.grad = mean.view_as(p)


class Whole(nn.Module):
    """All weights as one module, whose call is the loss of a shard of a step."""

    def __init__(self, roles: Roles) -> None:
        super().__init__()
        self.network = roles.reader  # the writer has no weights besides
        self.roles = roles

    def forward(self, task: Task, batch: Any, draws: Draws) -> Step:
        return task.loss(self.roles, batch, draws)


def give_back(module: nn.Module) -> None:
    """After calls without gradients, when gathered weights are still in the sharded ones' place."""
    if isinstance(module, FSDPModule):
        module.reshard()


def whole(tensor: Tensor) -> Tensor:
    """The tensor itself, gathered where it is sharded; every process must ask."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def part(tensor: Tensor, like: Tensor) -> Tensor:
    """A tensor that all processes have, sharded as `like` is, without their talking."""
    if not isinstance(like, DTensor):
        return tensor
    tensor = tensor.to(like.device)
    return distribute_tensor(tensor, like.device_mesh, like.placements, src_data_rank=None)


def gathered(value: Any) -> Any:
    """A state, with whole tensors in main memory instead of sharded ones; every process asks."""
    if isinstance(value, DTensor):
        return value.full_tensor().cpu()
    if isinstance(value, dict):
        return {key: gathered(item) for key, item in value.items()}
    if isinstance(value, list):
        return [gathered(item) for item in value]
    return value
