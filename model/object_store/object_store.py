"""Immutable named files at a URL: a local folder, S3 or Google Cloud Storage.

Names are unique and nothing is ever overwritten, so a file that is there is complete, and what
was read of it stays true. Names are paths below the URL, with `/` between their parts.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.fs as pafs
import xxhash

from mplus_ray.model.errors import DamagedFileError, InvalidInputError
from mplus_ray.model.object_store.failures import refusals
from mplus_ray.model.object_store.local import LocalStore
from mplus_ray.model.object_store.range_cache import RangeCache, Span
from mplus_ray.model.object_store.remote import RemoteStore, impatient

_PART_BYTES = 8 * 1024 * 1024  # of a file that is read as a stream

Buffers = list[pa.Buffer]  # inside the class `list` is a method


def checksum(data: pa.Buffer | bytes | memoryview) -> str:
    """Hash (XXH3, 128 bits, hexadecimal) that tells damage, not forgery."""
    return xxhash.xxh3_128_hexdigest(data)


class ObjectStore:
    """The files below one URL; any number of processes may use it at once."""

    def __init__(self, url: str, store: LocalStore | RemoteStore) -> None:
        """Use `open`."""
        self.url = url
        self._store = store

    @classmethod
    def open(cls, url: str, cache: RangeCache | None = None) -> ObjectStore:
        """Files at a path, `file://…`, `s3://bucket/prefix?region=…` or `gs://bucket/prefix`.

        Nothing is read or made yet. S3 takes `endpoint_override=host:port` and `scheme=http` for
        other services than Amazon's; credentials come from the usual environment.

        Args:
            cache: keeps ranges of remote files; local ones are in the page cache anyway.

        Raises:
            InvalidInputError: the URL names no storage.
            StorageError: its client cannot be made.
        """
        shown = _without_secrets(url)
        scheme = url.partition("://")[0] if "://" in url else ""
        if not url or scheme not in ("", "file", "s3", "gs", "gcs"):
            raise InvalidInputError(
                f"{shown!r} names no storage; give a path, file://…, s3://bucket/… or gs://bucket/…"
            )
        if not scheme:
            return cls(url, LocalStore(Path(url).expanduser().absolute()))
        try:
            with refusals(shown, ""):
                filesystem, root = pafs.FileSystem.from_uri(url)
                if scheme == "file":
                    return cls(url, LocalStore(Path(root)))
                if root:
                    remote = impatient(filesystem)
                    return cls(url, RemoteStore(remote, root.rstrip("/"), shown, cache))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as error:
            raise InvalidInputError(f"{shown} is no storage URL: {error}") from error
        raise InvalidInputError(f"{shown} names no bucket; write {scheme}://bucket/prefix")

    @property
    def local(self) -> Path | None:
        """The root folder, where the files are local."""
        return self._store.root if isinstance(self._store, LocalStore) else None

    def path(self, name: str) -> Path | None:
        """Where a local file lies; it need not exist."""
        root = self.local
        return None if root is None else root / _checked(name)

    def map(self, name: str) -> mmap.mmap | None:
        """A local file in memory, privately: writable to torch, and never written. None: the files
        are not local.

        Raises:
            MissingFileError: there is no such file.
            StorageError: the storage refused.
        """
        path = self.path(name)
        if path is None:
            return None
        with refusals(self._store.shown, name), path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)

    def put(self, name: str, data: pa.Buffer | bytes) -> None:
        """Write a new file; on return it is durable, and on failure nothing of it is visible.

        Raises:
            InvalidInputError: the name would lie outside the URL.
            StorageError: the file exists, or the storage refused.
        """
        with refusals(self._store.shown, name):
            self._store.put(_checked(name), data)

    def read(self, name: str) -> pa.Buffer:
        """A whole file, past the cache.

        Raises:
            MissingFileError: there is no such file.
            StorageError: the storage refused.
        """
        with refusals(self._store.shown, name):
            return self._store.read(_checked(name))

    def read_ranges(self, name: str, ranges: Sequence[Span]) -> Buffers:
        """Parts of a file, given as (offset, length) in bytes, in the order given.

        Raises:
            MissingFileError: there is no such file.
            DamagedFileError: it ends before a range does.
            StorageError: the storage refused.
        """
        _checked(name)
        if any(offset < 0 or length < 0 for offset, length in ranges):
            raise InvalidInputError(f"a range of {name} has a negative offset or length")
        if not ranges:
            return []
        with refusals(self._store.shown, name):
            found = self._store.read_ranges(name, ranges)
        for (offset, length), data in zip(ranges, found, strict=True):
            if data.size != length:
                raise DamagedFileError(name, f"it ends before byte {offset + length}")
        return found

    def size(self, name: str) -> int:
        """Bytes.

        Raises:
            MissingFileError: there is no such file.
            StorageError: the storage refused.
        """
        with refusals(self._store.shown, name):
            return self._store.size(_checked(name))

    def exists(self, name: str) -> bool:
        """
        Raises:
            StorageError: the storage refused, so nobody knows.
        """
        with refusals(self._store.shown, name):
            return self._store.exists(_checked(name))

    def checksum_of(self, name: str) -> str:
        """`checksum` of a file that need not fit into memory.

        Raises:
            MissingFileError: there is no such file.
            StorageError: the storage refused.
        """
        found = xxhash.xxh3_128()
        with refusals(self._store.shown, name), self._store.stream(_checked(name)) as stream:
            while part := stream.read(_PART_BYTES):
                found.update(part)
        return found.hexdigest()

    def list(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        """(name, bytes) of all files whose name begins so, in no order.

        What a killed process left half-written is listed too; its name ends in `.tmp`.

        Raises:
            StorageError: the storage refused.
        """
        if prefix:
            _checked(prefix.removesuffix("/"))
        with refusals(self._store.shown, prefix):
            yield from self._store.list(prefix)

    def delete(self, names: Iterable[str]) -> None:
        """Remove files, durably, and their pages from the cache; missing ones are fine.

        Raises:
            StorageError: the storage refused; some may be gone.
        """
        checked = [_checked(name) for name in names]
        with refusals(self._store.shown, ""):
            self._store.delete(checked)

    def delete_tree(self, prefix: str) -> None:
        """Remove a folder and all that is in it, as `delete` does.

        Raises:
            StorageError: the storage refused; some files may be gone.
        """
        folder = _checked(prefix.removesuffix("/"))
        with refusals(self._store.shown, folder):
            self._store.delete_tree(folder)


def _checked(name: str) -> str:
    """The name, if it lies below the root."""
    parts = name.split("/")
    if "\\" in name or "\0" in name or any(part in ("", ".", "..") for part in parts):
        raise InvalidInputError(
            f"{name!r} is no file name: give parts joined by '/', none of them '.' or '..'"
        )
    return name


def _without_secrets(url: str) -> str:
    """A URL as it may be shown: those of S3 can carry a secret key."""
    scheme, separator, rest = url.partition("://")
    return f"{scheme}://{rest.partition('?')[0].rpartition('@')[2]}" if separator else url
