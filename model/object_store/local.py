"""The files of a local folder."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from mplus_ray.model.object_store.failures import name_taken
from mplus_ray.model.object_store.range_cache import Span

_ATTEMPTS = 3
_TMP = ".tmp"

Buffers = list[pa.Buffer]  # inside the class `list` is a method


class LocalStore:
    """Files of a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.shown = str(root)
        self._durable: set[Path] = set()  # folders whose own names have been flushed to disk

    def put(self, name: str, data: pa.Buffer | bytes) -> None:
        path = self.root / name
        temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}{_TMP}")
        if path.exists():
            raise name_taken(self.shown, name)
        named = False
        try:
            file, made = _create(temporary)
            with file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            _take_name(temporary, path)
            named = True
            temporary.unlink(missing_ok=True)
            self._flush_folders(path.parent, made)
        except BaseException as error:
            with contextlib.suppress(OSError):  # the first error is the one to tell
                temporary.unlink(missing_ok=True)
                if named:
                    path.unlink()
                self._prune(path.parent)
            if isinstance(error, _NameTakenError):
                raise name_taken(self.shown, name) from error
            raise

    def read(self, name: str) -> pa.Buffer:
        with pa.OSFile(str(self.root / name)) as file:
            return file.read_buffer()

    def read_ranges(self, name: str, ranges: Sequence[Span]) -> Buffers:
        descriptor = os.open(self.root / name, os.O_RDONLY)
        try:
            return [pa.py_buffer(_pread(descriptor, *span)) for span in ranges]
        finally:
            os.close(descriptor)

    def size(self, name: str) -> int:
        return (self.root / name).stat().st_size

    def exists(self, name: str) -> bool:
        return (self.root / name).is_file()

    def stream(self, name: str) -> Any:
        return (self.root / name).open("rb")

    def list(self, prefix: str) -> Iterator[tuple[str, int]]:
        top = self.root / prefix.rpartition("/")[0]
        for folder, _, files in os.walk(top, onerror=_unless_missing):
            for file in files:
                path = Path(folder, file)
                name = path.relative_to(self.root).as_posix()
                if name.startswith(prefix):
                    with contextlib.suppress(FileNotFoundError):  # removed meanwhile
                        yield name, path.lstat().st_size

    def delete(self, names: Sequence[str]) -> None:
        folders = set()
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                (self.root / name).unlink()
                folders.add((self.root / name).parent)
        self._flush_remains(folders)

    def delete_tree(self, folder: str) -> None:
        path = self.root / folder
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(path)
            self._flush_remains({path.parent})

    def _flush_remains(self, folders: set[Path]) -> None:
        """Make what was removed from folders durable; empty ones go too."""
        for folder in {self._prune(folder) for folder in folders}:
            with contextlib.suppress(FileNotFoundError):  # removed by another process since
                _flush(folder)

    def _prune(self, folder: Path) -> Path:
        """Remove a folder and those above it while they are empty; returns the one that stays."""
        while self.root in folder.parents:
            try:
                folder.rmdir()
            except FileNotFoundError:
                pass
            except OSError as error:
                if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.EBUSY):
                    break
                raise
            self._durable.discard(folder)
            folder = folder.parent
        return folder

    def _flush_folders(self, folder: Path, made: Sequence[Path]) -> None:
        """Make the names in a folder durable, and those of new folders above it."""
        above = {new.parent for new in made}
        if made or folder not in self._durable:  # another process may have made them just now
            above.update(p for p in folder.parents if p == self.root or self.root in p.parents)
        for parent in (folder, *above):
            _flush(parent)
        self._durable.add(folder)


def _create(path: Path) -> tuple[Any, list[Path]]:
    """A new file, open for writing, and the folders that had to be made for it."""
    made: list[Path] = []
    for attempt in range(_ATTEMPTS):
        folders = (path.parent, *path.parent.parents)
        made += [folder for folder in folders if not folder.exists()]
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return path.open("xb"), made
        except FileNotFoundError:  # another process found the folder empty and removed it
            if attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError


class _NameTakenError(Exception):
    """A file has the name already."""


def _take_name(temporary: Path, path: Path) -> None:
    """Give a complete file its name, unless another has it."""
    try:
        os.link(temporary, path)
    except FileExistsError as error:
        raise _NameTakenError from error
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS):
            raise
        if path.exists():
            raise _NameTakenError from error
        temporary.rename(path)  # this file system has no links


def _flush(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _pread(descriptor: int, offset: int, length: int) -> bytes:
    """Up to `length` bytes: fewer at the file's end. One call reads 2 GiB at most."""
    data = os.pread(descriptor, length, offset)
    while data and len(data) < length:
        more = os.pread(descriptor, length - len(data), offset + len(data))
        if not more:
            break
        data += more
    return data


def _unless_missing(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error
