"""A backbone as a folder, also where it comes as a GGUF file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from mplus_ray.model.checkpoint.gguf import read_gguf
from mplus_ray.model.checkpoint.prepared import Say, cache_root, damage, locked, make

_PLACE = "gguf"  # in the cache


def backbone_folder(source: str, root: Path | None = None, say: Say = lambda _: None) -> str:
    """The source itself, a folder or hub id; of a GGUF file the folder that it becomes.

    That one is made once on a machine, in the cache, in bfloat16 as a shipped checkpoint's
    backbone is.

    Args:
        root: of the cache; by default what `cache_root` says.
        say: is told what takes long.

    Raises:
        CheckpointError: it is not a GGUF file that can be read.
        StorageError: the cache cannot be written to.
    """
    path = Path(source)
    if path.suffix != ".gguf" or path.is_dir():
        return source
    root = root or cache_root()
    with locked(root, say):
        digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "missing"
        folder = root / _PLACE / digest[:16]
        if not folder.is_dir() or damage(folder):
            say(f"dequantizing {path.name}")
            make(folder, lambda made: _fill(made, path))
    return str(folder)


def _fill(folder: Path, path: Path) -> Mapping[str, Any]:
    backbone = read_gguf(path)
    tensors = {name: tensor.to(torch.bfloat16) for name, tensor in backbone.tensors.items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = {**backbone.config, "dtype": "bfloat16"}
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n", "utf-8")
    backbone.save_tokenizer(folder)
    return {"source": path.name}
