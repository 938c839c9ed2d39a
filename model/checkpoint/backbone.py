"""An untrained M+ out of a Hugging Face Llama, Mistral, Qwen2 or Qwen3 backbone."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import nn

from mplus_ray.model.checkpoint.checkpoint import save_checkpoint
from mplus_ray.model.checkpoint.gguf import read_gguf
from mplus_ray.model.checkpoint.hub import find_checkpoint
from mplus_ray.model.checkpoint.tensors import TensorFolder
from mplus_ray.model.config import ModelConfig
from mplus_ray.model.config_json import read_config
from mplus_ray.model.errors import CheckpointError, InvalidInputError
from mplus_ray.model.network.decoder import Network
from mplus_ray.model.network.hidden_states import hidden_states_alone

_FAMILIES = ("llama", "mistral", "qwen2", "qwen3")
_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "chat_template.jinja",
)


def backbone_config(raw: dict[str, Any], memory: dict[str, Any], where: str) -> ModelConfig:
    """The M+ config for a Hugging Face `config.json`.

    Args:
        raw: the Hugging Face config.
        memory: M+ fields to set, such as num_tokens.
    """
    family = raw.get("model_type")
    if family not in _FAMILIES:
        raise CheckpointError(
            f"{where} is a {family!r} model; supported backbones: {', '.join(_FAMILIES)}"
        )
    if raw.get("hidden_act", "silu") != "silu":
        raise CheckpointError(f"{where} uses {raw['hidden_act']!r}; only silu is supported")
    if raw.get("mlp_bias") or (family != "qwen2" and raw.get("attention_bias")):
        raise CheckpointError(f"{where} has biases that this network does not")
    unknown = memory.keys() - {field.name for field in fields(ModelConfig)}
    if unknown:
        raise InvalidInputError(f"there is no field {', '.join(sorted(unknown))} in a config")
    return ModelConfig.from_dict(
        {
            **raw,
            "attention_bias": family == "qwen2",
            "qk_norm": family == "qwen3",
            "sliding_window": _window(raw, where),
            "add_bos_embedding": raw.get("bos_token_id") is not None and family in _FAMILIES[:2],
            **memory,
        },
        where,
    )


def _window(raw: dict[str, Any], where: str) -> int | None:
    """The sliding window of all layers; Qwen has it from `max_window_layers` on, if at all."""
    window: int | None = raw.get("sliding_window")
    if window is None or not raw["model_type"].startswith("qwen"):
        return window
    kinds = raw.get("layer_types")
    if kinds is None:
        first = raw.get("max_window_layers", 0)
        layers = range(raw.get("num_hidden_layers", 0))
        sliding = [bool(raw.get("use_sliding_window")) and i >= first for i in layers]
    else:
        sliding = [kind == "sliding_attention" for kind in kinds]
    if any(sliding) and not all(sliding):
        raise CheckpointError(f"{where} has a sliding window in some layers only")
    return window if any(sliding) else None


def init_from_backbone(source: str, out: Path, seed: int = 0, **memory: Any) -> ModelConfig:
    """Write an untrained M+ checkpoint to `out`.

    Its start row of every layer is what the backbone makes of its BOS token there, so with no
    memory its logits are the backbone's own. The retriever is random until it is trained.

    Args:
        source: folder or hub id of the backbone, or a GGUF file.
        seed: of the retriever's random weights.
        memory: M+ fields of the config, such as num_tokens=64.

    Raises:
        CheckpointError: not a supported backbone, or its tensors do not fit its config.
    """
    if Path(source).is_file():
        out.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as made:
            read_gguf(Path(source)).save(Path(made))
            return _init(Path(made), out, seed, memory)
    folder = find_checkpoint(source)
    if out.exists() and out.samefile(folder):
        raise InvalidInputError(f"{out} is the backbone itself; write to another folder")
    return _init(folder, out, seed, memory)


def _init(folder: Path, out: Path, seed: int, memory: dict[str, Any]) -> ModelConfig:
    config = backbone_config(read_config(folder), memory, str(folder / "config.json"))
    save_checkpoint(out, config, network_around(folder, config, seed))
    copy_tokenizer(folder, out)
    return config


def network_around(
    folder: Path, config: ModelConfig, seed: int, start: Sequence[int] | None = None
) -> Network:
    """The untrained M+ of `config` around the backbone in `folder`, in float32.

    Args:
        start: the `start_rows` tokens whose layer inputs the start rows begin as; by default the
            backbone's BOS token, again and again.
    """
    network = Network(config)
    network.initialize(seed)
    _copy_weights(network, TensorFolder.open(folder))
    if start is None and config.bos_token_id is not None:
        start = [config.bos_token_id] * config.start_rows
    if network.bos_embedding is not None and start is not None:
        states = torch.stack(hidden_states_alone(network, torch.tensor(start)))
        if states.shape != network.bos_embedding.shape:
            raise CheckpointError(
                f"{len(start)} tokens cannot become {config.start_rows} start rows; there must be "
                "as many"
            )
        network.bos_embedding = nn.Parameter(states)
    return network


def copy_tokenizer(source: Path, target: Path) -> None:
    """Copy whatever of a tokenizer lies in `source`."""
    for name in _TOKENIZER_FILES:
        if (source / name).exists():
            shutil.copyfile(source / name, target / name)


def _copy_weights(network: Network, tensors: TensorFolder) -> None:
    """Every backbone tensor has its place, and every place but memory's its tensor."""
    parameters = dict(network.named_parameters())
    own = {
        name
        for name in parameters
        if name in ("bos_embedding", "new_memory_positional_emb")
        or ".query_proj." in name
        or ".key_proj." in name
    }
    ignored = {"lm_head.weight"} if network.config.tie_word_embeddings else set()
    wanted = parameters.keys() - own
    found = {n for n in tensors.shapes if not n.endswith("rotary_emb.inv_freq")} - ignored
    problems = [f"missing: {name}" for name in sorted(wanted - found)]
    problems += [f"unexpected: {name}" for name in sorted(found - wanted)]
    for name in sorted(wanted & found):
        got, expected = tensors.shapes[name], tuple(parameters[name].shape)
        if got != expected:
            problems.append(f"wrong shape: {name} is {list(got)}, expected {list(expected)}")
    if problems:
        raise CheckpointError(
            f"{tensors.folder} does not fit its config.json:\n  " + "\n  ".join(problems)
        )
    with torch.no_grad():
        for name, tensor in tensors.walk(sorted(wanted), torch.device("cpu")):
            parameters[name].copy_(tensor)
