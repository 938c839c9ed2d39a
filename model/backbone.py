"""An untrained M+ out of a Hugging Face Llama, Mistral, Qwen2 or Qwen3 checkpoint."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from torch import nn

from model.checkpoint import save_checkpoint
from model.config import ModelConfig
from model.errors import CheckpointError
from model.hub import find_checkpoint
from model.network import Network
from model.read import hidden_states_alone
from model.tensors import TensorFolder

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
    window = raw.get("sliding_window")
    if family.startswith("qwen") and not raw.get("use_sliding_window"):
        window = None
    return ModelConfig.from_dict(
        {
            **raw,
            "attention_bias": family == "qwen2",
            "qk_norm": family == "qwen3",
            "sliding_window": window,
            "add_bos_embedding": raw.get("bos_token_id") is not None and family in _FAMILIES[:2],
            **memory,
        },
        where,
    )


def init_from_backbone(source: str, out: Path, seed: int = 0, **memory: Any) -> ModelConfig:
    """Write an untrained M+ checkpoint to `out`.

    Its start row of every layer is what the backbone makes of its BOS token there, so with no
    memory its logits are the backbone's own. The retriever is random until it is trained.

    Args:
        source: folder or hub id of the backbone.
        seed: of the retriever's random weights.
        memory: M+ fields of the config, such as num_tokens=64.

    Raises:
        CheckpointError: not a supported backbone, or its tensors do not fit its config.
    """
    folder = find_checkpoint(source)
    path = folder / "config.json"
    if not path.exists():
        raise CheckpointError(f"{folder} is not a checkpoint: it has no config.json")
    config = backbone_config(json.loads(path.read_text()), memory, str(path))
    network = Network(config)
    network.initialize(seed)
    _copy_weights(network, TensorFolder.open(folder))
    if network.bos_embedding is not None and config.bos_token_id is not None:
        states = hidden_states_alone(network, torch.tensor([config.bos_token_id]))
        network.bos_embedding = nn.Parameter(torch.stack(states))
    save_checkpoint(out, config, network)
    for name in _TOKENIZER_FILES:
        if (folder / name).exists():
            shutil.copyfile(folder / name, out / name)
    return config


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
