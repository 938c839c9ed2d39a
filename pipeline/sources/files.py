"""Files, folders and globs."""

from __future__ import annotations

import glob
import logging
import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mplus_ray.model.errors import InvalidInputError
from mplus_ray.pipeline.parsing.document_id import id_of_name
from mplus_ray.pipeline.parsing.formats.pdf.ocr import Ocr
from mplus_ray.pipeline.parsing.isolated import parse_path, read_path
from mplus_ray.pipeline.parsing.kinds import SUFFIXES, binary_kind, content_kind
from mplus_ray.pipeline.parsing.refusals import Refusal, Refusals, kind_of_name
from mplus_ray.pipeline.sources.records import OneFile
from mplus_ray.pipeline.sources.source import Item

_log = logging.getLogger(__name__)
_LOOK = 4096  # bytes of a file without a suffix by which it is told whether it is text


@dataclass(frozen=True)
class FileSource:
    """Files in the order given; each is read when its turn comes.

    Attributes:
        key: the id of the document, where it is one.
        ocr: reads pages that are pictures; None: they are refused.
        left_out: what was found beside them and is not read.
        paths: of files, not of folders.
    """

    paths: Sequence[Path]
    key: str | None = None
    ocr: Ocr | None = None
    left_out: Refusals = field(default_factory=Refusals)
    endless = False

    def files(self) -> Iterator[OneFile]:
        """Each by itself, to be read wherever its path leads to it."""
        return (local_file(path, self.key, ocr=self.ocr) for path in self.paths)

    def __iter__(self) -> Iterator[Item]:
        for file in self.files():
            yield from file.items()


def local_file(
    path: Path,
    key: str | None = None,
    only: Collection[int] | None = None,
    ocr: Ocr | None = None,
) -> OneFile:
    """A file of this machine.

    Args:
        only: places of the wanted records of a file of many; None: all.
        ocr: reads pages that are pictures; None: they are refused.
    """
    name = str(path)
    return OneFile(
        name,
        name,
        lambda: parse_path(path, name, ocr),
        lambda: read_path(path, name, ocr),
        key or id_of_name(name),
        only,
    )


@dataclass(frozen=True)
class FoundFiles:
    """What folders have.

    Attributes:
        files: of a supported format, and what cannot be read, so that reading it says why.
        left_out: others, hidden ones, and links that lead elsewhere.
        whole: every folder could be looked into.
    """

    files: Sequence[Path]
    left_out: Refusals
    whole: bool = True


def find_files(paths: Iterable[str | Path]) -> list[Path]:
    """The files alone, see `find_documents`."""
    return list(find_documents(paths).files)


def find_documents(paths: Iterable[str | Path]) -> FoundFiles:
    """Every named file, and in folders every file of a supported format, in a stable order.

    A name that does not exist is tried as a glob (`**` for any depth). A file named by itself is
    taken whatever it is, so that parsing can say what is wrong with it.

    Raises:
        InvalidInputError: a path does not exist, or a folder has nothing to read.
    """
    found: dict[Path, None] = {}
    left_out = Refusals()
    for given in paths:
        for path in _expanded(Path(given).expanduser()):
            inside = in_folder(path) if path.is_dir() else FoundFiles([path], Refusals())
            if not inside.files:
                raise InvalidInputError(
                    f"the folder {path} has no document in it; supported are "
                    f"{', '.join(sorted(SUFFIXES))}"
                )
            left_out.include(inside.left_out.listed())
            found.update(dict.fromkeys(file.resolve() for file in inside.files))
    return FoundFiles(list(found), left_out)


def in_folder(folder: Path) -> FoundFiles:
    """The files below a folder, without hidden ones and without links to what lies elsewhere:
    a person who may write into a folder does not choose what else is read.
    """
    refused: list[Path] = []
    wanted: list[Path] = []
    left_out = Refusals()
    root = folder.resolve()
    for parent, folders, names in os.walk(folder, onerror=lambda e: refused.append(_place(e))):
        for name in [name for name in folders if name.startswith(".")]:
            folders.remove(name)
            left_out.add("folder", Refusal.HIDDEN)
        for name in folders:
            if Path(parent, name).is_symlink():  # `os.walk` goes into none
                left_out.add("folder", Refusal.LINK)
        for path in (Path(parent, name) for name in names):
            if (why := _unwanted(path, root)) is None:
                wanted.append(path)
            else:
                left_out.add(kind_of_name(path.name), why)
    return FoundFiles(sorted([*wanted, *refused]), left_out, not refused)


def _unwanted(path: Path, root: Path) -> Refusal | None:
    """Why a file of a folder is left out; None: it is of a supported format, or has no suffix and
    is text or a document.
    """
    if path.name.startswith("."):
        return Refusal.HIDDEN
    if path.is_symlink() and not _leads_inside(path, root):
        return Refusal.LINK
    if not path.is_file():
        return Refusal.SPECIAL
    if path.suffix:
        return None if path.suffix.lower() in SUFFIXES else Refusal.UNSUPPORTED
    try:
        with path.open("rb") as file:
            start = file.read(_LOOK)
    except OSError:
        return Refusal.UNREADABLE
    if not start:
        return Refusal.EMPTY
    known = content_kind(start) is not None
    return (
        None
        if known or (b"\0" not in start and binary_kind(start) is None)
        else (Refusal.UNSUPPORTED)
    )


def _leads_inside(path: Path, root: Path) -> bool:
    try:
        if path.resolve(strict=True).is_relative_to(root):
            return True
    except OSError:  # it leads nowhere, or round and round
        pass
    _log.warning("%s is a link that leads out of %s: left out; name its file", path, root)
    return False


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
