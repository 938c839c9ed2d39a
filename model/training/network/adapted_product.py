"""The product of an adapted weight, as one step with gradients of its own.

`peft` computes W x + s B (A x) as five operations with a cast before and after each. In training it
is one: everything in the precision of the input, and only x and A x are kept. (LoRA, arXiv
2106.09685, equation 3.)

Legend: n tokens, d width of the input, o of the output, r rank.
"""

from __future__ import annotations

from typing import Any

import torch
from peft.tuners.lora import Linear as LoraLinear
from torch import Tensor, nn


class AdaptedLinear(LoraLinear):
    """`peft`'s layer with one adapter in use, no dropout and no bias of the base weight."""

    @classmethod
    def use(cls, network: nn.Module) -> None:
        """Let all layers of a network that are of this kind compute in one step."""
        for module in network.modules():
            if type(module) is LoraLinear and getattr(module.base_layer, "bias", None) is None:
                module.__class__ = cls

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """[..., d] → [..., o]."""
        (name,) = self.active_adapters
        a, b, scale = self.lora_A[name].weight, self.lora_B[name].weight, self.scaling[name]
        kind = x.device.type
        inside = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype
        flat = x.to(inside).flatten(0, -2)
        result: Tensor = _Product.apply(  # type: ignore[no-untyped-call]
            flat, self.base_layer.weight, a, b, scale
        )
        return result.view(*x.shape[:-1], -1)


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, a: Tensor, b: Tensor, scale: float) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            low = x @ a.to(x.dtype).mT  # [n, r]
            out = torch.addmm(x @ weight.to(x.dtype).mT, low, b.to(x.dtype).mT, alpha=scale)
        ctx.save_for_backward(x, low, weight, a, b)
        ctx.scale = scale
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, None, Tensor, Tensor, None]:
        x, low, weight, a, b = ctx.saved_tensors
        above = (grad @ b.to(x.dtype)) * ctx.scale  # [n, r]
        dx = None
        if ctx.needs_input_grad[0]:
            dx = torch.addmm(grad @ weight.to(x.dtype), above, a.to(x.dtype))
        da = (above.mT @ x).to(a.dtype)
        db = ((grad.mT @ low) * ctx.scale).to(b.dtype)
        return dx, None, da, db, None
