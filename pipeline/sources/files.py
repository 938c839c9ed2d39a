"""Files, folders and globs."""

from __future__ import annotations

import glob
import logging
import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from mplus_ray.model.errors import DocumentError, InvalidInputError
from mplus_ray.pipeline.parsing.parse import SUFFIXES, parse_file
from mplus_ray.pipeline.sources.records import OneFile
from mplus_ray.pipeline.sources.source import Item

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FileSource:
    """Files in the order given; each is read when its turn comes.

    Attributes:
        key: the id of the document, where it is one.
        paths: of files, not of folders.
    """

    paths: Sequence[Path]
    key: str | None = None
    endless = False

    def files(self) -> Iterator[OneFile]:
        """Each by itself, to be read wherever its path leads to it."""
        return (local_file(path, self.key) for path in self.paths)

    def __iter__(self) -> Iterator[Item]:
        for file in self.files():
            yield from file.items()


def local_file(path: Path, key: str | None = None, only: Collection[int] | None = None) -> OneFile:
    """A file of this machine.

    Args:
        only: places of the wanted records of a file of many; None: all.
    """
    name = str(path)
    return OneFile(name, name, lambda: parse_file(path), lambda: _opened(path), key, only)


def find_files(paths: Iterable[str | Path]) -> list[Path]:
    """Every named file, and in folders every file of a supported format, in a stable order.

    A name that does not exist is tried as a glob (`**` for any depth). A file named by itself is
    taken whatever it is, so that parsing can say what is wrong with it.

    Raises:
        InvalidInputError: a path does not exist, or a folder has nothing to read.
    """
    found: dict[Path, None] = {}
    for given in paths:
        for path in _expanded(Path(given).expanduser()):
            files = list(in_folder(path)) if path.is_dir() else [path]
            if not files:
                raise InvalidInputError(
                    f"the folder {path} has no document in it; supported are "
                    f"{', '.join(sorted(SUFFIXES))}"
                )
            found.update(dict.fromkeys(file.resolve() for file in files))
    return list(found)


def in_folder(folder: Path) -> Iterator[Path]:
    """Every file of a supported format, without hidden ones and without links to what lies
    elsewhere: whoever may write into a folder does not choose what else is read.

    A folder that cannot be read is among them, so that reading it says what is wrong.
    """
    refused: list[Path] = []
    found: list[Path] = []
    for parent, folders, names in os.walk(folder, onerror=lambda e: refused.append(_place(e))):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(parent, name) for name in names if not name.startswith(".")]
    root = folder.resolve()
    wanted = []
    for path in found:
        if path.suffix.lower() not in SUFFIXES or not path.is_file():
            continue
        if path.is_symlink() and not path.resolve().is_relative_to(root):
            _log.warning("%s is a link that leads out of %s: left out; name its file", path, folder)
            continue
        wanted.append(path)
    yield from sorted([*wanted, *refused])


def _place(error: OSError) -> Path:
    """The folder that could not be read."""
    return Path(error.filename)


def _expanded(path: Path) -> list[Path]:
    if path.exists():
        return [path]
    if not glob.has_magic(str(path)):
        raise InvalidInputError(f"{path} does not exist")
    # Not `Path.glob`, which does not leave hidden files out.
    found = [Path(name) for name in sorted(glob.glob(str(path), recursive=True))]  # noqa: PTH207
    # `**` names a folder and, beside it, everything in it; the files are enough.
    files = [name for name in found if not name.is_dir()] or found
    if not files:
        raise InvalidInputError(f"nothing matches {path}")
    return files


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise DocumentError(f"{path} cannot be read: {error.strerror or error}") from error
