"""Files that hold many documents, by suffix."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from mplus_ray.model.errors import DocumentError
from mplus_ray.pipeline.parsing.checks import foreign
from mplus_ray.pipeline.parsing.csv import read_csv
from mplus_ray.pipeline.parsing.jsonl import read_jsonl
from mplus_ray.pipeline.parsing.parquet import read_parquet
from mplus_ray.pipeline.parsing.records import Record

_READERS: dict[str, Callable[[BinaryIO, str], Iterator[Record]]] = {
    ".jsonl": read_jsonl,
    ".ndjson": read_jsonl,
    ".csv": read_csv,
    ".parquet": read_parquet,
}
MANY = frozenset(_READERS)


def holds_many(name: str) -> bool:
    """Whether a file of that name holds many documents."""
    return Path(name).suffix.lower() in MANY


def read_many(file: BinaryIO, name: str) -> Iterator[Record]:
    """The documents of a seekable file, as a stream; one bad row is one bad record.

    Raises:
        DocumentError: the file itself is at fault; what came before stands.
    """
    suffix = Path(name).suffix.lower()
    start = file.read(8)
    file.seek(0)
    if suffix != ".parquet" and (found := foreign(start)):
        raise DocumentError(f"{name} is not a {suffix} file: by its content it is {found}")
    empty = True
    for record in _READERS[suffix](file, name):
        empty = False
        yield record
    if empty:
        raise DocumentError(f"{name} holds no documents, so there is nothing to memorize")
