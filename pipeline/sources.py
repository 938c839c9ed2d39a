"""Files and folders named by a person, as the files to read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from model.errors import InvalidInputError
from pipeline.parse import SUFFIXES


def find_files(paths: Iterable[Path]) -> list[Path]:
    """Every named file, and in folders every file of a supported format, in a stable order.

    A file named by itself is taken whatever it is, so that parsing can say what is wrong with it.

    Raises:
        InvalidInputError: a path does not exist, or a folder has nothing to read.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if not path.exists():
            raise InvalidInputError(f"{path} does not exist")
        files = list(_in_folder(path)) if path.is_dir() else [path]
        if not files:
            raise InvalidInputError(
                f"the folder {path} has no document in it; supported are "
                f"{', '.join(sorted(SUFFIXES))}"
            )
        found.update(dict.fromkeys(file.resolve() for file in files))
    return list(found)


def _in_folder(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.suffix.lower() in SUFFIXES and path.is_file() and not hidden:
            yield path
