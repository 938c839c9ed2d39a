"""Files, folders and globs."""

from __future__ import annotations

import glob
import logging
import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mplus_ray.model.errors import InvalidInputError
from mplus_ray.pipeline.parsing.document_id import id_of_name
from mplus_ray.pipeline.parsing.formats.pdf.ocr import Ocr
from mplus_ray.pipeline.parsing.isolated import parse_path, read_path
from mplus_ray.pipeline.parsing.kinds import SUFFIXES, foreign
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
        left_out: how many files of other formats were found beside them, by suffix.
        paths: of files, not of folders.
    """

    paths: Sequence[Path]
    key: str | None = None
    ocr: Ocr | None = None
    left_out: Mapping[str, int] = field(default_factory=dict)
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
class Found:
    """What folders have.

    Attributes:
        files: of a supported format, and what cannot be read, so that reading it says why.
        left_out: how many others there are, by suffix.
        whole: every folder could be looked into.
    """

    files: Sequence[Path]
    left_out: Mapping[str, int]
    whole: bool = True


def find_files(paths: Iterable[str | Path]) -> list[Path]:
    """The files alone, see `find_documents`."""
    return list(find_documents(paths).files)


def find_documents(paths: Iterable[str | Path]) -> Found:
    """Every named file, and in folders every file of a supported format, in a stable order.

    A name that does not exist is tried as a glob (`**` for any depth). A file named by itself is
    taken whatever it is, so that parsing can say what is wrong with it.

    Raises:
        InvalidInputError: a path does not exist, or a folder has nothing to read.
    """
    found: dict[Path, None] = {}
    left_out: Counter[str] = Counter()
    for given in paths:
        for path in _expanded(Path(given).expanduser()):
            inside = in_folder(path) if path.is_dir() else Found([path], {})
            if not inside.files:
                raise InvalidInputError(
                    f"the folder {path} has no document in it; supported are "
                    f"{', '.join(sorted(SUFFIXES))}"
                )
            left_out.update(inside.left_out)
            found.update(dict.fromkeys(file.resolve() for file in inside.files))
    return Found(list(found), left_out)


def in_folder(folder: Path) -> Found:
    """The files below a folder, without hidden ones and without links to what lies elsewhere:
    whoever may write into a folder does not choose what else is read.
    """
    refused: list[Path] = []
    found: list[Path] = []
    for parent, folders, names in os.walk(folder, onerror=lambda e: refused.append(_place(e))):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(parent, name) for name in names if not name.startswith(".")]
    found = [path for path in found if path.is_file()]
    root = folder.resolve()
    wanted = [path for path in found if _is_wanted(path) and _is_inside(path, root)]
    others = Counter(path.suffix.lower() or "(no suffix)" for path in set(found) - set(wanted))
    return Found(sorted([*wanted, *refused]), others, not refused)


def _is_wanted(path: Path) -> bool:
    """Whether its suffix is one of ours, or it has none and is text or a document."""
    if path.suffix:
        return path.suffix.lower() in SUFFIXES
    try:
        with path.open("rb") as file:
            start = file.read(_LOOK)
    except OSError:
        return False
    return bool(start) and b"\0" not in start and foreign(start) is None


def _is_inside(path: Path, root: Path) -> bool:
    if not path.is_symlink() or path.resolve().is_relative_to(root):
        return True
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
