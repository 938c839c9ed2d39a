"""Files that hold many documents: which they are, and their documents as a stream."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO

from mplus_ray.model.errors import DocumentError
from mplus_ray.pipeline.parsing.formats.pdf.ocr import Ocr
from mplus_ray.pipeline.parsing.kinds import KINDS, MANY, content_kind, refuse_foreign
from mplus_ray.pipeline.parsing.parse import MAX_BYTES, parse_bytes
from mplus_ray.pipeline.parsing.records.csv import read_csv
from mplus_ray.pipeline.parsing.records.json import read_json
from mplus_ray.pipeline.parsing.records.jsonl import read_jsonl
from mplus_ray.pipeline.parsing.records.mbox import read_mbox
from mplus_ray.pipeline.parsing.records.parquet import read_parquet
from mplus_ray.pipeline.parsing.records.record import Record
from mplus_ray.pipeline.parsing.records.zip import read_zip
from mplus_ray.pipeline.parsing.refusals import Refusal

_READERS: dict[str, Callable[[BinaryIO, str], Iterator[Record]]] = {
    "jsonl": read_jsonl,
    "json": read_json,
    "csv": read_csv,
    "parquet": read_parquet,
}
_LOOK = 1 << 16  # bytes by which the format is told


def holds_many(name: str) -> bool:
    """Whether a file of that name holds many documents."""
    return KINDS.get(Path(name).suffix.lower()) in MANY


def read_many(file: BinaryIO, name: str, ocr: Ocr | None = None) -> Iterator[Record]:
    """The documents of a seekable file, as a stream; one bad row is one bad record.

    A file that is one document, whatever its name says, gives one record that is the whole.

    Raises:
        DocumentError: the file itself is at fault; what came before stands.
    """
    empty = True
    for record in _read(file, name, ocr):
        empty = False
        yield record
    if empty:
        raise DocumentError(
            f"{name} holds no documents, so there is nothing to memorize", Refusal.EMPTY
        )


def _read(file: BinaryIO, name: str, ocr: Ocr | None) -> Iterator[Record]:
    named = KINDS.get(Path(name).suffix.lower())
    start = file.read(_LOOK)
    file.seek(0)
    found = content_kind(start)
    if named == "zip" and found != "zip":
        found = content_kind(_whole(file, name)) if found else None
        file.seek(0)
    if found is None and named != "parquet":
        refuse_foreign(start, name)
    kind = found if found is not None and found != "html" else named
    if kind == "zip":
        yield from read_zip(file, name, partial(_read_member, ocr=ocr))
    elif kind == "mbox":
        yield from read_mbox(file, name, partial(parse_bytes, ocr=ocr, depth=1))
    elif kind == "jsonl" and start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"["):
        yield from read_json(file, name)  # an array, whatever its name says
    elif kind in _READERS:
        yield from _READERS[kind](file, name)
    else:
        yield Record(1, parse_bytes(_whole(file, name), name, ocr), whole=True)


def _read_member(file: BinaryIO, name: str, ocr: Ocr | None) -> Iterator[Record]:
    if holds_many(name):
        yield from read_many(file, name, ocr)
    else:
        yield Record(1, parse_bytes(file.read(), name, ocr, depth=1), whole=True)


def _whole(file: BinaryIO, name: str) -> bytes:
    data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise DocumentError(
            f"{name} is larger than {MAX_BYTES // 2**20} MiB; split it into parts",
            Refusal.TOO_LARGE,
        )
    return data
