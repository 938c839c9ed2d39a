"""A file's bytes to plain text, whatever format it is in."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO

from mplus_ray.model.errors import DocumentError
from mplus_ray.pipeline.parsing.document import ParsedDocument
from mplus_ray.pipeline.parsing.formats.data import parse_notebook, parse_xml
from mplus_ray.pipeline.parsing.formats.html import parse_html
from mplus_ray.pipeline.parsing.formats.mail import parse_mail, parse_outlook
from mplus_ray.pipeline.parsing.formats.office import parse_office
from mplus_ray.pipeline.parsing.formats.pdf.document import parse_pdf
from mplus_ray.pipeline.parsing.formats.pdf.ocr import Ocr
from mplus_ray.pipeline.parsing.formats.rst import parse_rst
from mplus_ray.pipeline.parsing.formats.text import TEXTS
from mplus_ray.pipeline.parsing.kinds import MANY, OFFICE, kind_of
from mplus_ray.pipeline.parsing.records.csv import read_csv
from mplus_ray.pipeline.parsing.records.joined import joined
from mplus_ray.pipeline.parsing.records.json import read_json
from mplus_ray.pipeline.parsing.records.jsonl import read_jsonl
from mplus_ray.pipeline.parsing.records.mbox import read_mbox
from mplus_ray.pipeline.parsing.records.parquet import read_parquet
from mplus_ray.pipeline.parsing.records.record import Record
from mplus_ray.pipeline.parsing.records.zip import read_zip
from mplus_ray.pipeline.parsing.refusals import Refusal
from mplus_ray.pipeline.parsing.text.checks import checked

MAX_BYTES = 256 * 2**20
_DEEPEST = 3  # messages and archives inside one another


def read_bytes(path: Path, name: str) -> bytes:
    """The bytes of one file.

    Args:
        name: as people know it.

    Raises:
        DocumentError: it cannot be read, or is larger than `MAX_BYTES`.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DocumentError(
                f"{name} is larger than {MAX_BYTES // 2**20} MiB; split it into parts",
                Refusal.TOO_LARGE,
            )
        return path.read_bytes()
    except OSError as error:
        raise DocumentError(
            f"{name} cannot be read: {error.strerror or error}", Refusal.UNREADABLE
        ) from error


def parse_file(path: Path, ocr: Ocr | None = None) -> ParsedDocument:
    """Read and parse one file in this process.

    Raises:
        DocumentError: it cannot be read, is empty, or no text can be taken from it.
    """
    return parse_bytes(read_bytes(path, str(path)), str(path), ocr)


def parse_bytes(data: bytes, name: str, ocr: Ocr | None = None, depth: int = 0) -> ParsedDocument:
    """Parse `data` by its content and the suffix of `name`.

    Args:
        ocr: reads what has no text layer; None: that is refused.
        depth: messages or archives that it is in.

    Raises:
        DocumentError: no text can be taken from it, whatever its parser found wrong.
    """
    kind = kind_of(data, name)
    if depth > _DEEPEST:
        raise DocumentError(
            f"{name} lies in more than {_DEEPEST} others; take it out of them", Refusal.UNSUPPORTED
        )
    try:
        parsed = _parsed(data, name, kind, ocr, depth)
    except (DocumentError, MemoryError):
        raise
    except Exception as error:  # a broken file fails inside a library in any way it likes
        raise DocumentError(
            f"{name} is a damaged or unsupported {kind} ({type(error).__name__}: {error}); open it "
            "and save it again, or export its text",
            Refusal.DAMAGED,
        ) from error
    # What a format is called by its suffix, where that is another name for the same.
    suffix = Path(name).suffix.lower()[1:]
    shown = suffix if kind == "code" or (kind == "xlsx" and suffix == "xls") else kind
    return checked(parsed, name, shown or kind, len(data))


def _parsed(data: bytes, name: str, kind: str, ocr: Ocr | None, depth: int) -> ParsedDocument:
    if kind == "rst":
        return parse_rst(data, name)
    if kind in MANY:
        return joined(_records(data, name, kind, ocr, depth), name)
    if kind in TEXTS:
        return TEXTS[kind](data, name)
    if kind in OFFICE:
        return parse_office(data, name, kind)
    if kind == "pdf":
        return parse_pdf(data, name, ocr.read_page if ocr is not None else None)
    inner = partial(parse_bytes, ocr=ocr, depth=depth + 1)
    if kind in ("eml", "msg"):
        return (parse_mail if kind == "eml" else parse_outlook)(data, name, inner)
    if kind == "ipynb":
        return parse_notebook(data, name)
    return parse_html(data, name) if kind == "html" else parse_xml(data, name)


def _records(data: bytes, name: str, kind: str, ocr: Ocr | None, depth: int) -> Iterator[Record]:
    """What is in a file of many that is part of another, or whose name does not say so."""
    if kind == "zip":

        def member(file: BinaryIO, path: str) -> Iterator[Record]:
            yield Record(1, parse_bytes(file.read(), path, ocr, depth + 1), whole=True)

        return read_zip(io.BytesIO(data), name, member)
    if kind == "mbox":
        inner = partial(parse_bytes, ocr=ocr, depth=depth + 1)
        return read_mbox(io.BytesIO(data), name, inner)
    return _TABLES[kind](io.BytesIO(data), name)


_TABLES: dict[str, Callable[[BinaryIO, str], Iterator[Record]]] = {
    "jsonl": read_jsonl,
    "json": read_json,
    "csv": read_csv,
    "parquet": read_parquet,
}
