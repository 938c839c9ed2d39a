"""An adapted weight as one step computes what peft's layer computes, with its gradients."""

from __future__ import annotations

import copy

import pytest
import torch
from peft import LoraConfig, LoraModel
from peft.tuners.lora import Linear as LoraLinear
from torch import Tensor, nn

from mplus_ray.model.training.network.adapted_product import AdaptedLinear


def _layer(bias: bool = False) -> nn.Module:
    torch.manual_seed(1)
    network = nn.ModuleDict({"q_proj": nn.Linear(12, 20, bias=bias)})
    settings = LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj"], lora_dropout=0.0)
    LoraModel(network, settings, "default")
    layer = network["q_proj"]
    assert isinstance(layer, LoraLinear)
    for weight in layer.lora_B.parameters():
        nn.init.normal_(weight)
    return layer


def _gradients(layer: nn.Module, x: Tensor, above: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
    x = x.clone().requires_grad_()
    trained = [p for name, p in layer.named_parameters() if "lora" in name]
    with torch.autocast("cpu", torch.bfloat16, enabled=x.dtype == torch.bfloat16):
        out = layer(x)
    return out, torch.autograd.grad(out, [x, *trained], above.to(out.dtype))


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 3e-2)], ids=str
)
def test_it_is_pefts_layer(dtype: torch.dtype, tolerance: float) -> None:
    layer = _layer()
    one = nn.ModuleDict({"q_proj": copy.deepcopy(layer)})
    AdaptedLinear.use(one)
    assert type(layer) is LoraLinear
    assert type(one["q_proj"]) is AdaptedLinear
    x, above = torch.randn(2, 5, 12).to(dtype), torch.randn(2, 5, 20)

    wanted, found = (_gradients(each, x, above) for each in (layer, one["q_proj"]))

    torch.testing.assert_close(found[0], wanted[0], rtol=tolerance, atol=tolerance)
    for other, own in zip(wanted[1], found[1], strict=True):
        assert own.dtype == other.dtype
        scale = float(other.abs().max())
        torch.testing.assert_close(own, other, rtol=tolerance, atol=tolerance * scale)


def test_a_base_weight_with_a_bias_stays_pefts() -> None:
    network = nn.ModuleDict({"q_proj": _layer(bias=True)})

    AdaptedLinear.use(network)

    assert type(network["q_proj"]) is LoraLinear
