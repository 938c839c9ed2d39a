"""What was trained round a backbone, in one file by itself: adapters and start rows.

It has the names that the tensors have in the whole checkpoint. What a repository keeps of such a
checkpoint is this file and `config.json`; the backbone is published elsewhere.
"""

from __future__ import annotations

import re
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from mplus_ray.model.config import ModelConfig
from mplus_ray.model.errors import CheckpointError
from mplus_ray.model.network.decoder import Network
from mplus_ray.model.training.task import Roles

FILE = "adapters.safetensors"
_MARK = "new_memory_positional_emb"  # a file may have it, though rows that are inputs have no mark
_ADAPTER = re.compile(r"\.lora_([AB])\.(\w+)\.weight$")
WRITE, READ = "default", "decoder_adapter"  # adapters by role, as official checkpoints name them


def save_trained(network: Network, folder: Path) -> None:
    """Write what is trained of a network into `folder`, in bfloat16; other files stay."""
    folder.mkdir(parents=True, exist_ok=True)
    trained = {
        name: parameter.detach().to("cpu", torch.bfloat16).contiguous()
        for name, parameter in network.named_parameters()
        if parameter.requires_grad
    }
    save_file(trained, folder / FILE, metadata={"format": "pt"})


@torch.no_grad()
def load_trained(network: Network, folder: Path) -> None:
    """Give a network with adapters what was trained earlier.

    Where both roles had one adapter and have two now, both begin as that one.

    Raises:
        CheckpointError: there is no such file, or it is of a network or adapters of another shape.
    """
    path = folder / FILE
    try:
        saved = load_file(path)
    except FileNotFoundError:
        raise CheckpointError(f"the recipe starts from {folder}, which has no {FILE}") from None
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error
    _check_scale(network.config, folder)
    wanted = {n: p for n, p in network.named_parameters() if p.requires_grad}
    unused = {_MARK} if network.config.rows == "inputs" else set()
    problems = [f"unexpected: {name}" for name in sorted(saved.keys() - wanted.keys() - unused)]
    found: dict[str, Tensor] = {}
    for name, parameter in wanted.items():
        shared = _ADAPTER.sub(rf".lora_\1.{WRITE}.weight", name)
        tensor = saved.get(name, saved.get(shared))
        if tensor is None:
            problems.append(f"missing: {name} {list(parameter.shape)}")
        elif tensor.shape != parameter.shape:
            shapes = f"{list(tensor.shape)}, expected {list(parameter.shape)}"
            problems.append(f"wrong shape: {name} is {shapes}")
        else:
            found[name] = tensor
    if problems:
        listed = "\n  ".join(problems)
        raise CheckpointError(f"{path} is not of the recipe's model:\n  {listed}")
    for name, tensor in found.items():
        wanted[name].copy_(tensor)


def _check_scale(config: ModelConfig, folder: Path) -> None:
    """Adapters that count otherwise than they were trained to are others."""
    if not (folder / "config.json").exists() or config.lora_config is None:
        return
    earlier = ModelConfig.load(folder).lora_config
    if earlier is not None and earlier.scale != config.lora_config.scale:
        raise CheckpointError(
            f"{folder}: its adapters count {earlier.scale:g} times, the recipe's "
            f"{config.lora_config.scale:g}; put r and alpha of its lora_config into the recipe"
        )


def merged_roles(roles: Roles) -> Roles:
    """The networks of both roles without adapters, as a checkpoint is loaded."""
    network = roles.reader
    if network.config.lora_config is None:
        return roles
    reader = merged(network, READ if network.config.add_decoder_lora else WRITE)
    writer = merged(network, WRITE) if network.config.add_decoder_lora else reader
    return Roles(writer, reader)


@torch.no_grad()
def merged(network: Network, adapter: str) -> Network:
    """A network without adapters that computes what this one does with one of its adapters.

    All its weights are in what this one's are kept in; those without an adapter are shared.
    """
    config, parameters = network.config, dict(network.named_parameters())
    with torch.device("meta"):
        plain = Network(config)
    scale = config.lora_config.scale if config.lora_config else 0.0
    for name in dict(plain.named_parameters()):
        module, _, leaf = name.rpartition(".")
        weight: Tensor | None = parameters.get(name)
        if weight is None:
            weight = parameters[f"{module}.base_layer.{leaf}"]
            a = parameters.get(f"{module}.lora_A.{adapter}.weight")
            b = parameters.get(f"{module}.lora_B.{adapter}.weight")
            if a is not None and b is not None and leaf == "weight":
                weight = weight.float() + scale * (b.float() @ a.float())
        owner = plain.get_submodule(module) if module else plain
        weight = weight.detach().to(network.dtype)
        setattr(owner, leaf, nn.Parameter(weight, requires_grad=False))
    if config.tie_word_embeddings:
        plain.lm_head.weight = plain.model.embed_tokens.weight
    return plain.eval()
