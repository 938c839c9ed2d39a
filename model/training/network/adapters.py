"""A frozen backbone with LoRA adapters: one that writes and one that reads, or one for both.

The adapters have the names of official checkpoints, `default` and `decoder_adapter`. Both roles
are networks over the same weights: the writer is a copy of the modules' outlines only, in which
every adapted layer looks at the other adapter. So nothing is switched while a step runs, also
not when activations are computed again for the gradients.
"""

from __future__ import annotations

import re

import torch
from peft import LoraConfig, LoraModel
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn

from mplus_ray.model.network.decoder import Network
from mplus_ray.model.training.network.adapted_product import AdaptedLinear
from mplus_ray.model.training.network.trained import READ, WRITE
from mplus_ray.model.training.recipe import Adapters
from mplus_ray.model.training.task import Roles

# What is trained: adapters, retriever, the layers' first rows, and the mark of a new row.
_TRAINED = re.compile(r"\.lora_[AB]\.|\.query_proj\.|\.key_proj\.|^bos_embedding$|^new_memory_")


def add_adapters(network: Network, adapters: Adapters, seed: int) -> None:
    """Freeze the network but for what makes it an M+, and give it adapters that do nothing yet."""
    torch.manual_seed(seed)
    settings = LoraConfig(
        r=adapters.r,
        lora_alpha=adapters.alpha,
        target_modules=list(adapters.targets),
        lora_dropout=0.0,
        bias="none",
    )
    tuner = LoraModel(network, settings, WRITE)
    if not adapters.shared:
        tuner.peft_config[READ] = settings
        tuner.inject_adapter(network, READ)
        _look_at(network, READ)
    AdaptedLinear.use(network)
    _thaw(network)
    for parameter in network.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()  # small steps vanish in bfloat16


def roles_of(network: Network) -> Roles:
    """The two roles of a network with adapters; one object where they share theirs."""
    if not network.config.add_decoder_lora:
        return Roles(network, network)
    writer = _outline(network)
    assert isinstance(writer, Network)
    _look_at(writer, WRITE)
    _thaw(network)
    return Roles(writer, network)


def _look_at(network: nn.Module, adapter: str) -> None:
    for module in network.modules():
        if isinstance(module, BaseTunerLayer):
            module.set_adapter(adapter)  # freezes the other one, hence `_thaw`


def _thaw(network: Network) -> None:
    fixed = {"new_memory_positional_emb"} if network.config.rows == "inputs" else set()
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name not in fixed and _TRAINED.search(name) is not None)


def _outline(module: nn.Module) -> nn.Module:
    """A copy down to the adapted layers, over the same weights."""
    if not any(isinstance(inner, BaseTunerLayer) for inner in module.modules()):
        return module
    result = object.__new__(type(module))  # a sharded module's class would run __init__
    vars(result).update(vars(module))
    vars(result)["_modules"] = {
        name: child and _outline(child) for name, child in module._modules.items()
    }
    return result
