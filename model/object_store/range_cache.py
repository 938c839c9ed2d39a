"""A bounded local cache of pages of remote immutable files, shared by the processes of a machine.

A page is a file of its own: at most 256 KiB of the remote file, then their checksum. Whatever is
wrong with a page (gone, torn, damaged), it is fetched again. Pages that were not used for the
longest time go first.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import xxhash

from mplus_ray.model.object_store.failures import refusals_of

Span = tuple[int, int]  # offset and length in bytes
Fetch = Callable[[Sequence[Span]], list[pa.Buffer]]

PAGE_BYTES = 256 * 1024
_RUN = 32  # pages that one ranged read brings at most
_DIGEST_BYTES = 16
_DISK_BLOCK = 4096
_KEEP = 0.9  # what eviction leaves, so that the folder is not listed again for every page
_TOMBSTONE_SECONDS = 3600  # longer than any read that began before its file was forgotten

_LOG = logging.getLogger(__name__)


class RangeCache:
    """Pages of remote files under a local folder, `max_bytes` at most.

    Bytes are counted in blocks of 4 KiB, as the disk does. A cache that cannot write (its disk
    is full) logs a warning and answers from the remote files.
    """

    def __init__(self, folder: Path | str, max_bytes: int) -> None:
        """
        Raises:
            StorageError: the folder cannot be made.
        """
        self._folder = Path(folder)
        self._max_bytes = max_bytes
        with refusals_of(f"{folder} cannot hold the cache", "name another folder"):
            self._folder.mkdir(parents=True, exist_ok=True)
            with self._locked():
                pass

    def read(self, name: str, spans: Sequence[Span], fetch: Fetch) -> list[pa.Buffer]:
        """Ranges of a file, (offset, length) in bytes; one past the file's end comes back shorter.

        Args:
            name: of the remote file, whose bytes must never change.
            fetch: reads ranges of the remote file, shorter at its end; its errors propagate.
        """
        wanted = sorted({page for span in spans for page in _pages(span)})
        pages = {page: data for page in wanted if (data := self._load(name, page)) is not None}
        runs = list(_runs(page for page in wanted if page not in pages))
        if runs:
            fetched: dict[int, pa.Buffer] = {}
            answers = fetch([(run.start * PAGE_BYTES, len(run) * PAGE_BYTES) for run in runs])
            for run, data in zip(runs, answers, strict=True):
                fetched.update((page, _cut(data, page, run.start)) for page in run)
            self._store(name, fetched)
            pages.update(fetched)
        return [_joined(pages, span) for span in spans]

    def forget(self, name: str) -> None:
        """Remove all pages of a file; a read under way in any process does not bring them back.

        Raises:
            StorageError: the pages cannot be removed.
        """
        what = f"the pages of {name} in the cache {self._folder} cannot be removed"
        with refusals_of(what, "remove the folder"), self._locked():
            self._tombstone(name).touch()
            folder = self._pages_of(name)
            removed = 0
            for path in _entries(folder):
                removed += _remove(path)
            with contextlib.suppress(FileNotFoundError):
                folder.rmdir()
            self._count(self._counted() - removed)

    # Pages

    def _pages_of(self, name: str) -> Path:
        return self._folder / xxhash.xxh3_128_hexdigest(name.encode())

    def _tombstone(self, name: str) -> Path:
        return self._pages_of(name).with_suffix(".gone")

    def _load(self, name: str, page: int) -> pa.Buffer | None:
        path = self._pages_of(name) / str(page)
        try:
            raw = path.read_bytes()
            # Not every file system notes when a file was read.
            os.utime(path)
        except OSError:
            return None
        data = memoryview(raw)[:-_DIGEST_BYTES]
        return pa.py_buffer(data) if raw[-_DIGEST_BYTES:] == _digest(name, page, data) else None

    def _store(self, name: str, pages: dict[int, pa.Buffer]) -> None:
        room = int(self._max_bytes * _KEEP) // _cost(PAGE_BYTES + _DIGEST_BYTES)
        kept = {page: data for page, data in list(pages.items())[:room] if data.size}
        try:
            with self._locked():
                if kept and not self._tombstone(name).exists():
                    self._make_room(sum(_cost(data.size + _DIGEST_BYTES) for data in kept.values()))
                    for page, data in kept.items():
                        self._write(name, page, data)
        except OSError as error:
            _LOG.warning("the cache %s keeps nothing more: %s", self._folder, error)

    def _write(self, name: str, page: int, data: pa.Buffer) -> None:
        path = self._pages_of(name) / str(page)
        path.parent.mkdir(exist_ok=True)
        temporary = path.with_suffix(f".{uuid.uuid4().hex}.tmp")
        try:
            with temporary.open("xb") as file:
                file.write(data)
                file.write(_digest(name, page, data))
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)

    # Bytes in use; all of it under the lock

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """One thread of one process at a time; a killed one lets go."""
        descriptor = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _counted(self) -> int:
        """Never less than the pages take: what is added is counted before it is written."""
        try:
            return int((self._folder / "bytes").read_text())
        except (FileNotFoundError, ValueError):
            return sum(cost for _, cost, _ in self._scan())

    def _count(self, total: int) -> None:
        (self._folder / "bytes").write_text(str(max(total, 0)))

    def _make_room(self, needed: int) -> None:
        total = self._counted()
        if total + needed > self._max_bytes:
            total = self._evict(int(self._max_bytes * _KEEP) - needed)
        self._count(total + needed)

    def _evict(self, target: int) -> int:
        """Remove what was not used for the longest time; returns the bytes that are left."""
        found = sorted(self._scan())
        total = sum(cost for _, cost, _ in found)
        for _, cost, path in found:
            if total <= target and path.suffix != ".tmp":  # of a killed process: nobody writes now
                continue
            _remove(path)
            total -= cost
            with contextlib.suppress(OSError):  # other pages are in it
                path.parent.rmdir()
        return total

    def _scan(self) -> Iterator[tuple[float, int, Path]]:
        """(last use in seconds, bytes, path) of every page; removes old tombstones."""
        for folder in _entries(self._folder):
            if folder.suffix == ".gone":
                if folder.stat().st_mtime < time.time() - _TOMBSTONE_SECONDS:
                    folder.unlink()
            elif folder.is_dir():
                for path in _entries(folder):
                    with contextlib.suppress(FileNotFoundError):
                        found = path.stat()
                        yield found.st_mtime, _cost(found.st_size), path


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except FileNotFoundError:
        return []


def _remove(path: Path) -> int:
    """Bytes that removing it freed."""
    try:
        size = path.stat().st_size
        path.unlink()
    except FileNotFoundError:  # somebody empties the folder by hand
        return 0
    return _cost(size)


def _cost(size: int) -> int:
    return -(-size // _DISK_BLOCK) * _DISK_BLOCK


def _digest(name: str, page: int, data: pa.Buffer | memoryview) -> bytes:
    """Over the page's place too: a page in a wrong place is a damaged one."""
    found = xxhash.xxh3_128(f"{name}\0{page}\0".encode())
    found.update(data)
    return found.digest()


def _pages(span: Span) -> range:
    offset, length = span
    return range(offset // PAGE_BYTES, -(-(offset + length) // PAGE_BYTES)) if length else range(0)


def _runs(pages: Iterable[int]) -> Iterator[range]:
    """Ascending page numbers as runs of neighbours."""
    run = range(0)
    for page in pages:
        if len(run) in (0, _RUN) or page != run.stop:
            if run:
                yield run
            run = range(page, page)
        run = range(run.start, page + 1)
    if run:
        yield run


def _cut(data: pa.Buffer, page: int, first: int) -> pa.Buffer:
    """One page of what a ranged read from page `first` on brought."""
    start = min((page - first) * PAGE_BYTES, data.size)
    return data.slice(start, min(PAGE_BYTES, data.size - start))


def _joined(pages: dict[int, pa.Buffer], span: Span) -> pa.Buffer:
    offset, length = span
    parts = []
    for page in _pages(span):
        low = max(offset - page * PAGE_BYTES, 0)
        high = min(offset + length - page * PAGE_BYTES, pages[page].size)
        parts.append(pages[page].slice(min(low, high), max(high - low, 0)))
    return parts[0] if len(parts) == 1 else pa.py_buffer(b"".join(parts))
