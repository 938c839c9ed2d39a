"""A checkpoint in a bucket, copied to this machine once and shared by its processes."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from mplus_ray.model.checkpoint.backbone_pin import FILE, hash_file
from mplus_ray.model.checkpoint.prepared import Say, cache_root, damage, locked, make
from mplus_ray.model.config import ModelConfig
from mplus_ray.model.errors import CheckpointError, InvalidInputError
from mplus_ray.model.object_store.object_store import ObjectStore

FILES = ("*.json", "*.safetensors", "*.jinja", "tokenizer.model")  # of a checkpoint
_SUMS = "SHA256SUMS"  # as `sha256sum * > SHA256SUMS` writes it
_SUM = re.compile(r"([0-9a-f]{64}) [ *](.+)")
_SCHEMES = ("s3", "gs", "gcs")
_PIECE = 64 << 20

_log = logging.getLogger(__name__)


def in_bucket(source: str) -> bool:
    """Whether a checkpoint is named by a bucket's URL."""
    return urlsplit(source).scheme in _SCHEMES if "://" in source else False


def bucket_name(source: str) -> str:
    """What a checkpoint in a bucket is called: the last part of its path."""
    parts = urlsplit(source)
    return parts.path.rstrip("/").rpartition("/")[2] or parts.netloc


def staged(source: str, root: Path | None = None, say: Say = _log.info) -> Path:
    """The copy of a checkpoint on this machine, made first if there is none that is whole.

    A copy is used for ever, without asking the bucket again: other weights belong to another URL.
    Where SHA256SUMS lies beside the files, they are checked by it.

    Args:
        source: s3://bucket/prefix or gs://bucket/prefix, with the options of `ObjectStore.open`.
        root: of the cache; by default what `cache_root` says.
        say: is told what takes long.

    Raises:
        CheckpointError: there is no checkpoint, or it is not whole.
        InvalidInputError: the URL names no storage, or carries credentials.
        StorageError: the bucket or the cache refused.
    """
    parts = urlsplit(source)
    if parts.username or parts.password:
        raise InvalidInputError(
            f"the URL of {bucket_name(source)} carries credentials; give them in the environment"
        )
    folder = (root or cache_root()) / "staged" / f"{bucket_name(source)}-{_key(source)}"
    if folder.is_dir() and damage(folder) is None:
        return folder
    store = ObjectStore.open(source)
    with locked(root or cache_root(), say):
        if not folder.is_dir() or damage(folder):
            make(folder, lambda made: _copy(store, made, source, say))
    return folder


def _key(source: str) -> str:
    """Tells places apart: bucket, prefix and service, whatever else the URL says."""
    parts = urlsplit(source)
    service = parse_qs(parts.query).get("endpoint_override", [])
    place = [parts.scheme, parts.netloc, parts.path.strip("/"), *service]
    return hashlib.sha256("\n".join(place).encode()).hexdigest()[:12]


def _copy(store: ObjectStore, folder: Path, source: str, say: Say) -> None:
    from mplus_ray.model.checkpoint.tensors import TensorFolder  # torch, which naming needs not

    name = source.partition("?")[0]
    files = _listed(store)
    if "config.json" not in files:
        raise CheckpointError(f"{name} holds no config.json, so it is no checkpoint")
    say(f"copying {name}: {len(files)} files, {sum(files.values()):,} bytes")
    for file, size in files.items():
        with (folder / file).open("wb") as out:
            for offset in range(0, size, _PIECE):
                piece = (offset, min(_PIECE, size - offset))
                out.write(store.read_ranges(file, [piece])[0])
    if _listed(store) != files:
        raise CheckpointError(f"{name} was changed while it was copied; nothing of it is used")
    for file, expected in _sums(store, name):
        if file not in files:
            raise CheckpointError(f"{name}: {file} is missing, though {_SUMS} names it")
        if hash_file(folder / file) != expected:
            raise CheckpointError(f"{name}: {file} is not what {_SUMS} says; nothing of it is used")
    ModelConfig.load(folder)
    if not (folder / FILE).is_file():  # one whose backbone is published elsewhere
        TensorFolder.open(folder)


def _listed(store: ObjectStore) -> dict[str, int]:
    """The files of a checkpoint that lie there, with their sizes."""
    return {
        name: size
        for name, size in sorted(store.list())
        if "/" not in name and any(fnmatch(name, pattern) for pattern in FILES)
    }


def _sums(store: ObjectStore, name: str) -> Iterator[tuple[str, str]]:
    """(file, SHA-256) of what a checkpoint's list of sums says about its files."""
    if not store.exists(_SUMS):
        return
    for line in store.read(_SUMS).to_pybytes().decode("utf-8", "replace").splitlines():
        found = _SUM.fullmatch(line)
        if found is None:
            raise CheckpointError(f"{name}/{_SUMS} has a line {line!r}, expected SHA-256 and name")
        file = found[2].removeprefix("./")
        if any(fnmatch(file, pattern) for pattern in FILES):
            yield file, found[1]
