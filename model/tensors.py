"""Named tensors of a checkpoint folder, one file or sharded, read one at a time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from model.errors import CheckpointError

_SINGLE = "model.safetensors"
_INDEX = "model.safetensors.index.json"
_WHOLE = 1 << 20  # tensors up to this many bytes enter the fingerprint completely
_WINDOWS, _WINDOW = 16, 1 << 16  # of larger ones, so many windows of so many bytes


@dataclass(frozen=True)
class TensorFolder:
    """The tensors of `folder` by name, without loading them."""

    folder: Path
    shapes: dict[str, tuple[int, ...]]
    files: dict[str, str]

    @classmethod
    def open(cls, folder: Path) -> TensorFolder:
        """Read the headers.

        Raises:
            CheckpointError: no safetensors, a shard is missing, or a file is damaged.
        """
        names = _shards(folder)
        shapes: dict[str, tuple[int, ...]] = {}
        files: dict[str, str] = {}
        for name in names:
            try:
                with safe_open(folder / name, framework="pt") as shard:
                    for key in shard.keys():  # noqa: SIM118 (not a dict)
                        shapes[key] = tuple(shard.get_slice(key).get_shape())
                        files[key] = name
            except FileNotFoundError:
                raise CheckpointError(
                    f"{folder}: {name} is missing, though {_INDEX} names it; download it again"
                ) from None
            except (SafetensorError, OSError) as error:
                raise CheckpointError(f"{folder / name} is damaged: {error}") from error
        return cls(folder, shapes, files)

    def read(self, name: str, device: torch.device) -> Tensor:
        """One tensor, in its stored dtype, straight onto the device."""
        path = self.folder / self.files[name]
        with safe_open(path, framework="pt", device=str(device)) as shard:
            return shard.get_tensor(name)  # type: ignore[no-any-return]

    def walk(self, names: list[str], device: torch.device) -> Iterator[tuple[str, Tensor]]:
        """Several tensors, each file opened once."""
        for file in sorted({self.files[name] for name in names}):
            with safe_open(self.folder / file, framework="pt", device=str(device)) as shard:
                for name in names:
                    if self.files[name] == file:
                        yield name, shard.get_tensor(name)

    def fingerprint(self, config: dict[str, Any]) -> str:
        """Names the weights: equal for equal tensors, however they are sharded.

        Large tensors are sampled, so that 16 GB take seconds; training moves every weight.
        """
        digest = hashlib.blake2b(digest_size=16)
        digest.update(json.dumps(config, sort_keys=True).encode())
        cpu = torch.device("cpu")
        for name in sorted(self.shapes):
            tensor = self.read(name, cpu)
            digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
            raw = tensor.contiguous().flatten().view(torch.uint8).numpy()
            if raw.nbytes <= _WHOLE:
                digest.update(raw.tobytes())
                continue
            stride = (raw.nbytes - _WINDOW) // (_WINDOWS - 1)
            for window in range(_WINDOWS):
                digest.update(raw[window * stride : window * stride + _WINDOW].tobytes())
        return digest.hexdigest()


def _shards(folder: Path) -> list[str]:
    if (folder / _INDEX).exists():
        try:
            index = json.loads((folder / _INDEX).read_text())
            return sorted(set(index["weight_map"].values()))
        except (json.JSONDecodeError, UnicodeDecodeError, KeyError, AttributeError) as error:
            raise CheckpointError(
                f"{folder / _INDEX} is not a safetensors index: {error}"
            ) from error
    if (folder / _SINGLE).exists():
        return [_SINGLE]
    raise CheckpointError(f"{folder} has neither {_SINGLE} nor {_INDEX}")
