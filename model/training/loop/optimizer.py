"""Muon for the matrices inside the layers, AdamW for everything else.

Muon (Jordan et al., 2024) takes the momentum's nearest orthogonal matrix as the step; on this
model it needs about half the tokens of AdamW alone.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from mplus_ray.model.training.loop.parallel import part, whole

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_ASIDE = re.compile(r"query_proj|key_proj|lora_")  # matrices in layers that are not for Muon


def orthogonalize(matrices: Tensor, steps: int = 5) -> Tensor:
    """[b, m, n] → matrices with the same singular vectors and singular values near 1."""
    a, b, c = _COEFFICIENTS
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = x.bfloat16() if x.is_cuda else x  # enough for a direction, and many times faster there
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    result: Tensor = (x.mT if tall else x).to(matrices.dtype)
    return result


class Muon(Optimizer):
    """Matrices of one shape step together. torch's own Muon works in bfloat16, slow on CPUs."""

    def __init__(self, params: Iterable[Tensor], lr: float, weight_decay: float) -> None:
        super().__init__(params, {"lr": lr, "momentum": 0.95, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            shapes: dict[torch.Size, list[Tensor]] = defaultdict(list)
            for p in group["params"]:
                if p.grad is not None:
                    shapes[p.shape].append(p)
            for params in shapes.values():
                self._step_shape(params, group)

    def _step_shape(self, params: list[Tensor], group: dict[str, Any]) -> None:
        directions = []
        for p in params:
            assert p.grad is not None
            momentum = self.state[p].setdefault("momentum", torch.zeros_like(p))
            momentum.lerp_(p.grad, 1 - group["momentum"])
            directions.append(whole(p.grad.lerp(momentum, group["momentum"])))
        rows, columns = params[0].shape
        scale = group["lr"] * max(1.0, rows / columns) ** 0.5
        for p, update in zip(params, orthogonalize(torch.stack(directions)), strict=True):
            p.mul_(1 - group["lr"] * group["weight_decay"]).add_(part(update, p), alpha=-scale)


def build(network: nn.Module, matrix_lr: float, other_lr: float) -> list[Optimizer]:
    """[Muon over the layers' matrices, AdamW over embeddings, norms, retriever and adapters], of
    what is trained."""
    matrices: list[Tensor] = []
    others: list[Tensor] = []
    for name, p in network.named_parameters():
        if p.requires_grad:
            inside = ".layers." in name and p.dim() == 2
            (matrices if inside and not _ASIDE.search(name) else others).append(p)
    adam = AdamW(others, lr=other_lr, betas=(0.9, 0.95), weight_decay=0.01)
    return [Muon(matrices, lr=matrix_lr, weight_decay=0.01), adam] if matrices else [adam]
