"""Random checkpoints in the official layout: adapters, genesis rows, retriever, everything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from mplus_ray.model.config import ModelConfig
from mplus_ray.model.config_json import LoraConfig
from mplus_ray.model.network.decoder import Network
from tests.checkpoints import tiny_config, write_tokenizer

ADAPTED = ("q_proj", "v_proj", "k_proj", "up_proj", "down_proj", "gate_proj")
LORA = LoraConfig(r=4, lora_alpha=8, target_modules=ADAPTED)


def official_shapes(
    config: ModelConfig, genesis: int | None = None, keys: int = 0
) -> dict[str, tuple[int, ...]]:
    """Names and shapes as the official code saves them.

    Args:
        genesis: long-term rows a layer that come along with a full pool; None for no memory.
        keys: width of the stored `ltm_keys`; 0 for none.
    """
    with torch.device("meta"):
        plain = {n: tuple(p.shape) for n, p in Network(config).named_parameters()}
    shapes: dict[str, tuple[int, ...]] = {}
    for name, shape in plain.items():
        module = name.removesuffix(".weight")
        if config.lora_config is None or module.rpartition(".")[2] not in ADAPTED:
            shapes[name] = shape
            continue
        if name.endswith(".bias"):
            shapes[name] = shape
            continue
        r = config.lora_config.r
        shapes[f"{module}.base_layer.weight"] = shape
        for adapter in ("default", "decoder_adapter") if config.add_decoder_lora else ("default",):
            shapes[f"{module}.lora_A.{adapter}.weight"] = (r, shape[1])
            shapes[f"{module}.lora_B.{adapter}.weight"] = (shape[0], r)
    if genesis is not None:
        layers, d = config.num_hidden_layers, config.hidden_size
        shapes["memory"] = (layers, config.pool_rows, d)
        for layer in range(layers if config.has_long_term else 0):
            shapes[f"ltm.{layer}"] = (genesis, d)
            shapes[f"ltm_recall_frequencies.{layer}"] = (genesis,)
            shapes[f"ltm_ages.{layer}"] = (genesis,)
            if keys:
                shapes[f"ltm_keys.{layer}"] = (genesis, keys)
    return shapes


def random_tensors(
    config: ModelConfig, seed: int = 0, genesis: int | None = None, uneven: bool = False
) -> dict[str, Tensor]:
    """Weights large enough that every part of the network shows in the logits.

    Args:
        uneven: layer i of the genesis has i long-term rows fewer than layer 0.
    """
    generator = torch.Generator().manual_seed(seed)
    out: dict[str, Tensor] = {}
    for name, shape in official_shapes(config, genesis).items():
        if uneven and name.startswith("ltm") and name[-1].isdigit():
            shape = (shape[0] - int(name.rpartition(".")[2]), *shape[1:])
        value = torch.randn(shape, generator=generator)
        if name.startswith("ltm_recall"):
            out[name] = torch.full(shape, 5.0)
        elif name.startswith("ltm_ages"):
            out[name] = torch.arange(shape[0], 0, -1)
        elif "norm" in name:
            out[name] = 1 + 0.1 * value
        elif name in ("memory", "bos_embedding") or name.startswith("ltm."):
            out[name] = value
        elif name == "new_memory_positional_emb" or name.endswith(".bias"):
            out[name] = 0.3 * value
        elif "embed_tokens" in name:
            out[name] = value
        elif ".lora_B." in name:
            out[name] = 0.2 * value
        else:
            out[name] = value * shape[-1] ** -0.5
    return out


def write_official(
    folder: Path,
    seed: int = 0,
    genesis: int | None = None,
    uneven: bool = False,
    shards: int = 1,
    **changes: Any,
) -> tuple[ModelConfig, dict[str, Tensor]]:
    """A complete official checkpoint; returns its config and its tensors."""
    config = tiny_config(**changes)
    tensors = random_tensors(config, seed, genesis, uneven)
    write_tokenizer(folder)
    write_tensors(folder, tensors, shards)
    (folder / "config.json").write_text(json.dumps(config.to_dict()))
    return config, tensors


def write_tensors(folder: Path, tensors: dict[str, Tensor], shards: int = 1) -> None:
    """One file, or several with an index, dealt out in turn."""
    if shards == 1:
        save_file(tensors, folder / "model.safetensors")
        return
    names = [f"model-{i + 1:05d}-of-{shards:05d}.safetensors" for i in range(shards)]
    homes = {name: names[i % shards] for i, name in enumerate(sorted(tensors))}
    for file in names:
        save_file({n: t for n, t in tensors.items() if homes[n] == file}, folder / file)
    index = {"metadata": {}, "weight_map": homes}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
