"""Folders that are made once on a machine and then shared by its processes.

A folder appears under its name complete or not at all, and a list of its files' sizes and hashes
lies in it, so that a damaged one is told from a whole one.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import xxhash

from mplus_ray.model.object_store.failures import refused

MANIFEST = "manifest.json"
_UNFINISHED = ".unfinished-"
_LOCK = ".lock"
_PIECE = 1 << 20

Say = Callable[[str], None]


def cache_root(environment: Mapping[str, str] = os.environ) -> Path:
    """MPLUS_CACHE, or `mplus` in the user's cache (XDG_CACHE_HOME, or ~/.cache)."""
    own = environment.get("MPLUS_CACHE")
    if own:
        return Path(own).absolute()
    home = environment.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache").absolute() / "mplus"


@contextmanager
def scratch(root: Path) -> Iterator[Path]:
    """A folder for what is needed on the way; the lock of `root` must be held."""
    with TemporaryDirectory(dir=root, prefix=_UNFINISHED) as folder:
        yield Path(folder)


@contextmanager
def locked(root: Path, say: Say) -> Iterator[None]:
    """Hold the one lock of `root`; it is free again when this process ends, however it ends.

    What another process left half-made is removed first.

    Raises:
        StorageError: `root` cannot be written to, or its disk is full.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        with (root / _LOCK).open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say(f"another process is at work in {root}; waiting for it")
                fcntl.flock(file, fcntl.LOCK_EX)
            for left in (*root.glob(f"{_UNFINISHED}*"), *root.glob(f"*/{_UNFINISHED}*")):
                shutil.rmtree(left)
            yield
    except OSError as error:
        otherwise = f"prepare models in another folder than {root}, which MPLUS_CACHE can name"
        raise refused(error, error.filename or str(root), otherwise) from error


def make(folder: Path, fill: Callable[[Path], Mapping[str, Any] | None]) -> None:
    """Make `folder`, in place of a damaged one; the lock of its root must be held.

    Args:
        fill: writes the files into the folder that it is given; what it returns is kept in the
            list of files, for `read_manifest`.
    """
    unfinished = folder.with_name(f"{_UNFINISHED}{folder.name}")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    try:
        about = fill(unfinished) or {}
        files = {path.name: _entry(path) for path in sorted(unfinished.iterdir())}
        with (unfinished / MANIFEST).open("w") as file:
            json.dump({"files": files, **about}, file, indent=1)
        for path in unfinished.iterdir():
            path.chmod(0o644)  # other users may share the cache
            _flush(path)
        if folder.exists():
            damaged = folder.with_name(f"{_UNFINISHED}damaged-{folder.name}")
            shutil.rmtree(damaged, ignore_errors=True)
            folder.rename(damaged)
            shutil.rmtree(damaged)
        unfinished.rename(folder)
        _flush(folder.parent)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise


def damage(folder: Path) -> str | None:
    """What is wrong with a folder that `make` made, or None; every byte is read."""
    manifest = read_manifest(folder)
    if not isinstance(manifest.get("files"), dict):
        return f"{MANIFEST} is missing or unreadable"
    for name, entry in manifest["files"].items():
        try:
            if _entry(folder / name) != entry:
                return f"{name} is not what was written"
        except OSError as error:
            return f"{name}: {error.strerror}"
    return None


def read_manifest(folder: Path) -> dict[str, Any]:
    """What `make` wrote about a folder; empty where that cannot be read."""
    try:
        found = json.loads((folder / MANIFEST).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _entry(path: Path) -> dict[str, Any]:
    """A file's size and hash; a hash that only has to tell damage, at the speed of memory."""
    digest = xxhash.xxh3_128()
    size = 0
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
            size += len(piece)
    return {"bytes": size, "xxh3": digest.hexdigest()}


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
