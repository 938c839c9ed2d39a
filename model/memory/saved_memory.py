"""A memory in a folder: immutable row shards, a state file, and a manifest that names them.

A save adds what is new and then replaces the manifest in one rename. Whatever interrupts it,
the manifest names complete files, and files that it does not name are garbage.
"""

from __future__ import annotations

import json
import os
import uuid
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mplus_ray.model.errors import FingerprintMismatchError, StorageError
from mplus_ray.model.memory.memory import Memory
from mplus_ray.model.object_store.failures import refusals, refusals_of
from mplus_ray.model.object_store.object_store import ObjectStore, checksum
from mplus_ray.model.store.file_refs import Shard, State
from mplus_ray.model.store.row_store import attach
from mplus_ray.model.store.shards import ShardHeader, write_shard
from mplus_ray.model.store.writer_state import read_state, write_state

_MANIFEST = "memory.json"
_FORMAT = 2


@dataclass(frozen=True)
class _Manifest:
    format: int
    fingerprint: str
    precision: str
    seed: str  # a decimal number of up to 128 bits
    step: int
    state: State
    shards: list[Shard]

    @classmethod
    def read(cls, folder: Path) -> _Manifest | None:
        try:
            with refusals(str(folder / _MANIFEST), ""):
                text = _read_text(folder / _MANIFEST)
            if text is None:
                return None
            raw = json.loads(text)
            if raw["format"] != _FORMAT:
                raise StorageError(
                    f"{folder / _MANIFEST}: memory format {raw['format']}; this version reads "
                    f"{_FORMAT}"
                )
            expected = raw.pop("checksum")
            if expected != _checksum(raw):
                raise ValueError("its checksum differs")
            raw["state"] = State(**raw["state"])
            raw["shards"] = [
                Shard(**{**shard, "layout": tuple(shard["layout"])}) for shard in raw["shards"]
            ]
            manifest = cls(**raw)
        except (ValueError, TypeError, KeyError) as error:
            raise StorageError(f"{folder / _MANIFEST} cannot be read: {error}") from error
        return manifest


def save_memory(memory: Memory, folder: Path) -> None:
    """Save to `folder`, writing only the steps that an earlier save of this history left out.

    Raises:
        StorageError: the disk refused (the folder is as it was), or the folder holds another
            memory.
    """
    before = _Manifest.read(folder)
    shards = _continued(before, memory, folder)
    if before is not None and before.step == memory.step:
        return
    files = ObjectStore.open(str(folder))
    done = shards[-1].end if shards else 0
    if memory.step > done:
        name = f"rows-{done:08d}-{memory.step:08d}-{uuid.uuid4().hex}.arrow"
        header = ShardHeader(memory.fingerprint, memory.store.format, done, memory.step - done)
        shards = [*shards, write_shard(files, name, header, memory.store.stored(done, memory.step))]
    name = f"state-{memory.step:08d}-{uuid.uuid4().hex}.safetensors"
    manifest = _Manifest(
        format=_FORMAT,
        fingerprint=memory.fingerprint,
        precision=memory.store.format.precision,
        seed=str(memory.seed),
        step=memory.step,
        state=write_state(files, name, memory.writer_state, memory.fingerprint),
        shards=shards,
    )
    fields = json.loads(json.dumps(asdict(manifest)))
    _replace_manifest(folder, json.dumps({**fields, "checksum": _checksum(fields)}, indent=1))
    memory.store.links[memory.step] = memory.history
    kept = {_MANIFEST, manifest.state.file, *(shard.file for shard in shards)}
    files.delete([found for found, _ in files.list() if found not in kept and _is_ours(found)])


def is_saved(folder: Path) -> bool:
    """Whether a save to `folder` was ever completed: it ends with the manifest."""
    return (folder / _MANIFEST).exists()


def restore_memory(empty: Memory, folder: Path) -> Memory:
    """Read a saved memory back, bit for bit; its rows stay in the files until they are read.

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
    precision = empty.store.format.precision
    if manifest.precision != precision:
        raise FingerprintMismatchError(
            f"the memory in {folder} holds {manifest.precision} rows, but the model was loaded for "
            f"{precision}; load it with precision={manifest.precision!r}"
        )
    files, seed = ObjectStore.open(str(folder)), int(manifest.seed)
    writer_state = read_state(files, manifest.state, manifest.fingerprint, empty.store.device)
    if writer_state.last_block is None:  # the checkpoint's own
        writer_state = replace(writer_state, last_block=empty.last_block)
    store = empty.store.prefix(0)
    attach(store, files, manifest.shards, manifest.fingerprint)
    store.links[writer_state.step] = writer_state.history
    membership = empty.membership.replay(seed, manifest.step)
    return Memory(seed, manifest.fingerprint, membership, writer_state, store)


def _continued(before: _Manifest | None, memory: Memory, folder: Path) -> list[Shard]:
    """The shards of an earlier save, if this memory continues it."""
    if before is None:
        return []
    same = before.fingerprint == memory.fingerprint and before.seed == str(memory.seed)
    same = same and before.precision == memory.store.format.precision
    links = {0: b"", **memory.store.links, memory.step: memory.history}
    known = links.get(before.step) == bytes.fromhex(before.state.history)
    if same and before.step <= memory.step and known:
        return before.shards
    raise StorageError(
        f"{folder} holds another memory than the one being saved, or a later one; "
        "save to another folder, or delete that one first"
    )


def _replace_manifest(folder: Path, text: str) -> None:
    """Temporary file, fsync, rename, fsync of the folder."""
    temporary = folder / f"{_MANIFEST}.tmp"
    with refusals_of(str(folder), "name another folder"):
        try:
            with temporary.open("w") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(folder / _MANIFEST)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _read_text(path: Path) -> str | None:
    try:
        return path.read_text()
    except FileNotFoundError:
        return None


def _is_ours(name: str) -> bool:
    """Files of older or interrupted saves; nothing else in the folder is touched."""
    return name.startswith(("rows-", "state-")) or name.endswith(".tmp")


def _checksum(manifest: dict[str, Any]) -> str:
    return checksum(json.dumps(manifest, sort_keys=True).encode())
