"""Named tensors of a checkpoint folder, one file or sharded, read one at a time."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from mplus_ray.model.errors import CheckpointError

_SINGLE = "model.safetensors"
_INDEX = "model.safetensors.index.json"
_WHOLE = 1 << 22  # tensors of up to this many numbers enter the fingerprint completely
_ROWS = 16  # of larger ones, so many rows


@dataclass(frozen=True)
class TensorFolder:
    """The tensors of `folder` by name, without loading them.

    Attributes:
        folder: of the safetensors files.
        shapes: of each tensor, by its name.
        files: the file that has it, by its name.
    """

    folder: Path
    shapes: dict[str, tuple[int, ...]]
    files: dict[str, str]

    @classmethod
    def open(cls, folder: Path) -> TensorFolder:
        """Read the headers.

        Raises:
            CheckpointError: no safetensors, a shard is missing, or a file is damaged.
        """
        return cls._of(folder, _shards(folder))

    @classmethod
    def of_file(cls, path: Path) -> TensorFolder:
        """Read the header of one safetensors file, whatever lies beside it.

        Raises:
            CheckpointError: it is missing or damaged.
        """
        if not path.is_file():
            raise CheckpointError(f"{path.parent} has no {path.name}")
        return cls._of(path.parent, [path.name])

    @classmethod
    def _of(cls, folder: Path, names: list[str]) -> TensorFolder:
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
            return shard.get_tensor(name)

    def walk(self, names: list[str], device: torch.device) -> Iterator[tuple[str, Tensor]]:
        """Several tensors, each file opened once."""
        for file in sorted({self.files[name] for name in names}):
            with safe_open(self.folder / file, framework="pt", device=str(device)) as shard:
                for name in names:
                    if self.files[name] == file:
                        yield name, shard.get_tensor(name)

    def fingerprint(self, identity: dict[str, Any]) -> str:
        """Names the weights: equal for equal tensors, however they are sharded.

        Of large tensors evenly spaced rows are read, so that 16 GB take a second; training
        moves every weight.

        Args:
            identity: the part of the configuration that a memory depends on.
        """
        parts: dict[str, bytes] = {}
        for file in set(self.files.values()):
            with safe_open(self.folder / file, framework="pt") as shard:
                for name in (n for n, place in self.files.items() if place == file):
                    parts[name] = _sample(shard, name, self.shapes[name])
        digest = hashlib.blake2b(json.dumps(identity, sort_keys=True).encode(), digest_size=16)
        for name in sorted(parts):
            digest.update(name.encode() + parts[name])
        return digest.hexdigest()


def _sample(shard: Any, name: str, shape: tuple[int, ...]) -> bytes:
    """A hash of a tensor's shape, dtype and contents, or of rows of them."""
    view = shard.get_slice(name)
    digest = hashlib.blake2b(f"{shape}{view.get_dtype()}".encode(), digest_size=16)
    if math.prod(shape) <= _WHOLE:
        pieces = [shard.get_tensor(name)]
    else:
        spots = [i / (_ROWS - 1) for i in range(_ROWS)]
        pieces = [view[tuple(_one(spot, size) for size in shape[:-1])] for spot in spots]
    for piece in pieces:
        digest.update(piece.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.digest()


def _one(spot: float, size: int) -> slice:
    index = round(spot * (size - 1))
    return slice(index, index + 1)


def _shards(folder: Path) -> list[str]:
    if (folder / _INDEX).exists():
        try:
            index = json.loads((folder / _INDEX).read_text())
            return sorted({str(Path(name)) for name in index["weight_map"].values()})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(
                f"{folder / _INDEX} is not a safetensors index: {error}"
            ) from error
    if (folder / _SINGLE).exists():
        return [_SINGLE]
    raise CheckpointError(f"{folder} has neither {_SINGLE} nor {_INDEX}")
