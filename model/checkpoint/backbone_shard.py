"""A published backbone as a file of tensors, beside which adapters can lie, and its tokenizer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from mplus_ray.model.checkpoint.assembled import FORMAT
from mplus_ray.model.checkpoint.backbone_pin import BackbonePin
from mplus_ray.model.checkpoint.gguf import read_gguf
from mplus_ray.model.checkpoint.tensors import TensorFolder
from mplus_ray.model.errors import CheckpointError
from mplus_ray.model.generation.tokenizer import TextTokenizer

BACKBONE = "backbone.safetensors"
BACKBONE_CONFIG = "backbone_config.json"
# Words, cases, digits, spaces, line breaks, marks, other scripts: what tokenizers differ in.
_PROBE = (
    "The 1st of 12 chapters, it's said, cost $3.50 (or 2,000 ¥)…\n\n 7.  Don’t  panic!\n\tif x > 9:"
    " return [0x1F]\r\n\nÉtude № 5 — Größe, Ελλάδα, Москва, 東京, العربية; naïve co-operation 🙂"
)


def adapted_modules(adapters: TensorFolder) -> list[str]:
    """The modules that have an adapter, such as model.layers.0.mlp.up_proj."""
    return sorted({name.split(".lora_")[0] for name in adapters.shapes if ".lora_" in name})


def shard_name(file_sha256: str, adapted: list[str]) -> str:
    """Names a backbone: its file, and which of its tensors are named as those under adapters."""
    names = hashlib.sha256("\n".join([f"{FORMAT}", *adapted]).encode()).hexdigest()
    return f"{file_sha256[:16]}-{names[:8]}"


def write_shard(
    folder: Path, source: Path, pin: BackbonePin, adapted: list[str]
) -> Mapping[str, Any]:
    """Write the backbone's weights in bfloat16, its tokenizer and its configuration."""
    backbone = read_gguf(source)
    tensors = {name: tensor.to(torch.bfloat16) for name, tensor in backbone.tensors.items()}
    backbone.save_tokenizer(folder)
    tokenizer = TextTokenizer.load(folder)
    for what, found, expected in (
        ("weights", hash_tensors(tensors), pin.tensors_sha256),
        ("tokenizer", hash_tokenizer(tokenizer), pin.tokens_sha256),
    ):
        if found != expected:
            raise CheckpointError(
                f"the {what} that this installation makes of {source.name} are not those that the "
                f"adapters were trained with (SHA-256 {found}, expected {expected}); install the "
                "versions of transformers, tokenizers and gguf that constraints.txt names"
            )
    modules = set(adapted)
    renamed = {
        f"{name.removesuffix('.weight')}.base_layer.weight"
        if name.removesuffix(".weight") in modules
        else name: tensor
        for name, tensor in tensors.items()
    }
    save_file(renamed, folder / BACKBONE, metadata={"format": "pt"})
    (folder / BACKBONE_CONFIG).write_text(json.dumps(backbone.config, indent=1) + "\n", "utf-8")
    return {"source": source.name, "sha256": pin.file_sha256}


def hash_tensors(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of tensors, by name: names, kinds of number, shapes and contents."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def hash_tokenizer(tokenizer: TextTokenizer) -> str:
    """SHA-256 of how many tokens there are, and of those that a text of many scripts becomes."""
    ids = tokenizer.encode(_PROBE)
    return hashlib.sha256(json.dumps([tokenizer.size, *ids]).encode()).hexdigest()
