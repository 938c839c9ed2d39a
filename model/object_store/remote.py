"""The files of a bucket, below a prefix."""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pyarrow as pa
import pyarrow.fs as pafs

from mplus_ray.model.errors import StorageError
from mplus_ray.model.object_store.failures import name_taken
from mplus_ray.model.object_store.range_cache import RangeCache, Span

_THREADS = 16
_GAP_BYTES = 64 * 1024  # a smaller gap between two ranges is cheaper to read than to ask twice
_PART_BYTES = 8 * 1024 * 1024  # about what one coalesced read brings at most
_OPEN_FILES = 256  # whose size is remembered: one request less for every read
_ATTEMPTS = 3  # of a request; with these timeouts an unreachable endpoint fails in 5 s
_CONNECT_SECONDS = 1.5
_SILENCE_SECONDS = 10.0

Buffers = list[pa.Buffer]  # inside the class `list` is a method


class RemoteStore:
    """Files of a bucket, below a prefix."""

    def __init__(self, filesystem: Any, root: str, shown: str, cache: RangeCache | None) -> None:
        self.shown = shown
        self._root = root
        self._filesystem = filesystem
        self._cache = cache
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="files")
        self._opened: OrderedDict[str, Any] = OrderedDict()
        self._opening = threading.Lock()

    def put(self, name: str, data: pa.Buffer | bytes) -> None:
        if self.exists(name):
            raise name_taken(self.shown, name)
        # A file appears with `close`, whole; if a part was refused, `close` is refused too.
        stream = self._filesystem.open_output_stream(self._at(name))
        stream.write(data)
        stream.close()

    def read(self, name: str) -> pa.Buffer:
        with self._filesystem.open_input_file(self._at(name)) as file:
            return file.read_buffer()

    def read_ranges(self, name: str, ranges: Sequence[Span]) -> Buffers:
        if self._cache is None:
            return self._fetch(name, ranges)
        return self._cache.read(self._at(name), ranges, lambda spans: self._fetch(name, spans))

    def size(self, name: str) -> int:
        return self._file(name).size()

    def exists(self, name: str) -> bool:
        return self._filesystem.get_file_info(self._at(name)).type == pafs.FileType.File

    def stream(self, name: str) -> Any:
        return self._filesystem.open_input_stream(self._at(name))

    def list(self, prefix: str) -> Iterator[tuple[str, int]]:
        top = prefix.rpartition("/")[0]
        selector = pafs.FileSelector(
            self._at(top) if top else self._root, recursive=True, allow_not_found=True
        )
        found = self._filesystem.get_file_info(selector)
        if not found:
            self._require_bucket()
        for info in found:
            name = info.path[len(self._root) + 1 :]
            if info.type == pafs.FileType.File and name.startswith(prefix):
                yield name, info.size

    def delete(self, names: Sequence[str]) -> None:
        list(self._threads.map(self._delete, names))

    def delete_tree(self, folder: str) -> None:
        self.delete([name for name, _ in self.list(folder + "/")])
        with contextlib.suppress(FileNotFoundError):  # the empty objects that stand for folders
            self._filesystem.delete_dir(self._at(folder))

    def _at(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _delete(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._filesystem.delete_file(self._at(name))
        with self._opening:
            self._opened.pop(name, None)
        if self._cache is not None:
            self._cache.forget(self._at(name))

    def _require_bucket(self) -> None:
        bucket = self._root.partition("/")[0]
        if self._filesystem.get_file_info(bucket).type == pafs.FileType.NotFound:
            raise StorageError(
                f"{self.shown}: there is no bucket {bucket}; make it or name another"
            )

    def _file(self, name: str) -> Any:
        """An open file, of which any number of threads may read ranges."""
        with self._opening:
            if name in self._opened:
                self._opened.move_to_end(name)
                return self._opened[name]
        file = self._filesystem.open_input_file(self._at(name))
        with self._opening:
            self._opened[name] = file
            if len(self._opened) > _OPEN_FILES:
                self._opened.popitem(last=False)
        return file

    def _fetch(self, name: str, ranges: Sequence[Span]) -> Buffers:
        """Ranges by as few requests as is sensible, at the same time; shorter at the file's end."""
        file = self._file(name)
        size = file.size()

        def read(span: Span) -> pa.Buffer:
            length = min(span[1], size - span[0])
            return pa.py_buffer(file.read_at(length, span[0]) if length > 0 else b"")

        reads, places = _coalesced(ranges)
        found = [read(reads[0])] if len(reads) == 1 else list(self._threads.map(read, reads))
        return [
            _part(found[place], offset - reads[place][0], length)
            for (offset, length), place in zip(ranges, places, strict=True)
        ]


def impatient(filesystem: Any) -> Any:
    """A client with bounds on how long it tries; a URL cannot say them."""
    _, (options, *_) = filesystem.__reduce__()
    if isinstance(filesystem, pafs.S3FileSystem):
        options |= {
            "connect_timeout": _CONNECT_SECONDS,
            "request_timeout": _SILENCE_SECONDS,
            "retry_strategy": pafs.AwsStandardS3RetryStrategy(max_attempts=_ATTEMPTS),
        }
        if "allow_delayed_open" in options:  # one request for a small file instead of three
            options["allow_delayed_open"] = True
    else:
        options |= {"retry_time_limit": timedelta(seconds=_SILENCE_SECONDS)}
    return type(filesystem)(**options)


def _coalesced(ranges: Sequence[Span]) -> tuple[list[Span], list[int]]:
    """Ascending reads that cover all ranges, neighbours together, and which read has each."""
    reads: list[Span] = []
    places = [0] * len(ranges)
    for index in sorted(range(len(ranges)), key=ranges.__getitem__):
        offset, length = ranges[index]
        start, size = reads[-1] if reads else (0, 0)
        end, new_end = start + size, max(start + size, offset + length)
        near = offset < end + _GAP_BYTES and new_end - start <= _PART_BYTES
        if reads and (near or new_end == end):
            reads[-1] = (start, new_end - start)
        else:
            reads.append((offset, length))
        places[index] = len(reads) - 1
    return reads, places


def _part(data: pa.Buffer, start: int, length: int) -> pa.Buffer:
    start = min(start, data.size)
    return data.slice(start, min(length, data.size - start))
