"""A memory in a folder: immutable row shards, a state file, and a manifest that names them.

A save adds what is new and then replaces the manifest in one rename. Whatever interrupts it,
the manifest names complete files, and files that it does not name are garbage.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from model.config import ModelConfig
from model.errors import FingerprintMismatchError, StorageError
from model.membership import Membership
from model.memory import Memory
from model.shards import ShardHeader, file_checksum, read_shard, write_shard
from model.store import RowBlock

_T = TypeVar("_T")

_MANIFEST = "memory.json"
_FORMAT = 1


@dataclass(frozen=True)
class _Shard:
    name: str
    checksum: str
    first_step: int
    steps: int


@dataclass(frozen=True)
class _Manifest:
    format: int
    fingerprint: str
    dtype: str
    seed: str  # a decimal number of up to 128 bits
    step: int
    state: _Shard
    shards: list[_Shard]

    @classmethod
    def read(cls, folder: Path) -> _Manifest | None:
        try:
            raw = json.loads((folder / _MANIFEST).read_text())
            if raw["format"] != _FORMAT:
                raise StorageError(
                    f"{folder} has memory format {raw['format']}; this version reads {_FORMAT}"
                )
            checksum = raw["checksum"]
            del raw["checksum"]
            if checksum != _checksum(raw):
                raise ValueError("its checksum differs")
            raw["state"] = _Shard(**raw["state"])
            raw["shards"] = [_Shard(**shard) for shard in raw["shards"]]
            manifest = cls(**raw)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise StorageError(f"{folder / _MANIFEST} cannot be read: {error}") from error
        return manifest


def save_memory(memory: Memory, folder: Path) -> None:
    """Save to `folder`, writing only the steps that an earlier save of this history left out.

    Raises:
        StorageError: the disk refused (the folder is as it was), or the folder holds another
            memory.
    """
    with _storage(folder):
        folder.mkdir(parents=True, exist_ok=True)
        before = _Manifest.read(folder)
        shards = _continued(before, memory, folder)
        done = shards[-1].first_step + shards[-1].steps if shards else 0
        if before is not None and before.step == memory.step:
            return
        if memory.step > done:
            shards = [*shards, _save_rows(memory, done, folder)]
        manifest = _Manifest(
            format=_FORMAT,
            fingerprint=memory.fingerprint,
            dtype=_dtype_name(memory.store.dtype),
            seed=str(memory.seed),
            step=memory.step,
            state=_save_state(memory, folder),
            shards=shards,
        )
        fields = asdict(manifest)
        text = json.dumps({**fields, "checksum": _checksum(fields)}, indent=1)
        _place(folder / _MANIFEST, lambda path: path.write_text(text))
        _collect_garbage(folder, manifest)


def is_saved(folder: Path) -> bool:
    """Whether a save to `folder` was ever completed: it ends with the manifest."""
    return (folder / _MANIFEST).exists()


def restore_memory(empty: Memory, folder: Path) -> Memory:
    """Read a saved memory back, bit for bit.

    Args:
        empty: a memory of the loaded model that has memorized nothing, which brings genesis,
            device and geometry; its seed is replaced.

    Raises:
        StorageError: nothing is saved there, or a file is missing or damaged.
        FingerprintMismatchError: other weights made it.
    """
    manifest = _Manifest.read(folder)
    if manifest is None:
        raise StorageError(f"{folder} holds no saved memory (no {_MANIFEST})")
    if manifest.fingerprint != empty.fingerprint:
        raise FingerprintMismatchError(
            f"the memory in {folder} was made with weights {manifest.fingerprint}, but "
            f"{empty.fingerprint} are loaded; load those, or memorize the documents again"
        )
    if manifest.dtype != _dtype_name(empty.store.dtype):
        raise FingerprintMismatchError(
            f"the memory in {folder} holds {manifest.dtype} rows, but the model was loaded for "
            f"{_dtype_name(empty.store.dtype)}; load it with dtype={manifest.dtype!r}"
        )
    with _storage(folder):
        state = _load_state(folder, manifest.state)
        membership, last_block, history = _unpack(state, manifest.step, empty)
        store = empty.store.prefix(0)
        size = store.config.num_tokens
        for shard in manifest.shards:
            _, rows = read_shard(folder / shard.name, shard.checksum)
            for index in range(shard.steps):
                part = slice(index * size, (index + 1) * size)
                block = RowBlock(rows.kv[:, part], rows.keys[:, part])
                store.append(block, history[shard.first_step + index])
    return Memory(int(manifest.seed), manifest.fingerprint, membership, last_block, store)


def _continued(before: _Manifest | None, memory: Memory, folder: Path) -> list[_Shard]:
    """The shards of an earlier save, if this memory continues it."""
    if before is None:
        return []
    same = before.fingerprint == memory.fingerprint and before.seed == str(memory.seed)
    if same and before.step <= memory.step:
        state = _load_state(folder, before.state)
        if _history(state) == memory.store.history[: before.step]:
            return before.shards
    raise StorageError(
        f"{folder} holds another memory than the one being saved, or a later one; "
        "save to another folder, or delete that one first"
    )


def _save_rows(memory: Memory, first: int, folder: Path) -> _Shard:
    rows = memory.store.blocks(first, memory.step)
    name = f"rows-{first:08d}-{memory.step:08d}.arrow"
    kv = tuple(rows.kv.shape[2:])
    header = ShardHeader(
        fingerprint=memory.fingerprint,
        dtype=_dtype_name(rows.kv.dtype),
        kv_shape=(kv[0], kv[1], kv[2]),
        key_width=rows.keys.shape[2],
        first_step=first,
        steps=memory.step - first,
    )
    checksum = _place(folder / name, lambda path: write_shard(path, header, rows))
    return _Shard(name, checksum, first, memory.step - first)


def _save_state(memory: Memory, folder: Path) -> _Shard:
    membership = memory.membership
    tensors = {"pool": torch.from_numpy(np.ascontiguousarray(membership.pool))}
    for layer, (ids, counters) in enumerate(
        zip(membership.long_term, membership.remaining, strict=True)
    ):
        tensors[f"long_term.{layer}"] = torch.from_numpy(ids)
        tensors[f"remaining.{layer}"] = torch.from_numpy(counters)
    for index, ids in enumerate(membership.dropped):
        tensors[f"dropped.{index}"] = torch.from_numpy(np.ascontiguousarray(ids))
    if memory.last_block is not None:
        tensors["last_block"] = memory.last_block.cpu().contiguous()
    chain = b"".join(memory.store.history[: memory.step])
    tensors["history"] = (
        torch.frombuffer(bytearray(chain), dtype=torch.uint8)
        if chain
        else (torch.empty(0, dtype=torch.uint8))
    )
    name = f"state-{memory.step:08d}.safetensors"

    def write(path: Path) -> str:
        save_file(tensors, path)
        return file_checksum(path)

    return _Shard(name, _place(folder / name, write), memory.step, 0)


def _load_state(folder: Path, state: _Shard) -> dict[str, Tensor]:
    path = folder / state.name
    if not path.exists() or file_checksum(path) != state.checksum:
        raise StorageError(f"{path} is missing or damaged; memorize the documents again")
    return load_file(path)


def _history(state: dict[str, Tensor]) -> list[bytes]:
    chain = state["history"].numpy().tobytes()
    return [chain[at : at + 16] for at in range(0, len(chain), 16)]


def _unpack(
    state: dict[str, Tensor], step: int, empty: Memory
) -> tuple[Membership, Tensor | None, list[bytes]]:
    config: ModelConfig = empty.store.config
    layers = range(config.num_hidden_layers)
    steps_since_merge = sum(name.startswith("dropped.") for name in state)
    membership = Membership(
        step=step,
        pool=state["pool"].numpy(),
        long_term=tuple(state[f"long_term.{layer}"].numpy() for layer in layers),
        remaining=tuple(state[f"remaining.{layer}"].numpy() for layer in layers),
        dropped=tuple(state[f"dropped.{index}"].numpy() for index in range(steps_since_merge)),
    )
    last = state.get("last_block")
    return membership, None if last is None else last.to(empty.store.device), _history(state)


def _place(path: Path, write: Callable[[Path], _T]) -> _T:
    """Write a complete file under its name: temporary file, fsync, rename, fsync of the folder."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        result = write(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return result


def _collect_garbage(folder: Path, manifest: _Manifest) -> None:
    """Remove files of older or interrupted saves."""
    kept = {_MANIFEST, manifest.state.name, *(shard.name for shard in manifest.shards)}
    for path in folder.iterdir():
        if path.name not in kept and path.suffix in (".arrow", ".safetensors", ".tmp"):
            path.unlink(missing_ok=True)


def _checksum(manifest: dict[str, Any]) -> str:
    raw = json.dumps(manifest, sort_keys=True).encode()
    return hashlib.blake2b(raw, digest_size=16).hexdigest()


def _dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


@contextlib.contextmanager
def _storage(folder: Path) -> Iterator[None]:
    """The operating system's refusals as one kind of error that says what to do."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        advice = "free some space and try again" if full else "check the path and its permissions"
        raise StorageError(f"{folder}: {error.strerror or error}; {advice}") from error
    except SafetensorError as error:
        raise StorageError(f"{folder}: {error}; free some space and try again") from error
