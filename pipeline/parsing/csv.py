"""Comma-separated values with a header: one document a row, read as a stream."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO

from mplus_ray.model.errors import DocumentError
from mplus_ray.pipeline.parsing.records import MAX_RECORD, Record
from mplus_ray.pipeline.parsing.tables import Columns
from mplus_ray.pipeline.parsing.text import encoding_of

_SAMPLE = 100  # rows by which the longest column is found
_DELIMITERS = ",;\t|"

# A field is a document's text; the default of 128 KiB is for tables of numbers.
csv.field_size_limit(MAX_RECORD)


def read_csv(file: BinaryIO, name: str) -> Iterator[Record]:
    """The documents of a file, whose first row names the columns.

    Raises:
        DocumentError: it has no header or no text; or a row cannot be told from the next one.
    """
    start = file.read(4)
    file.seek(0)
    # A byte that is no text spoils its own row only: see `_fields`.
    text = io.TextIOWrapper(file, encoding_of(start, "utf-8"), errors="surrogateescape", newline="")
    try:
        yield from _records(text, name)
    except (csv.Error, UnicodeError) as error:
        raise DocumentError(
            f"{name}: {error}; what came before is taken in, mend the file from there on"
        ) from error
    finally:
        text.detach()  # the caller closes the file


def _records(text: io.TextIOWrapper, name: str) -> Iterator[Record]:
    lines = _lines(text, name)
    first = next(lines, "")
    delimiter = max(_DELIMITERS, key=first.count)
    reader = csv.reader(chain([first], lines), delimiter=delimiter)
    header = [column.removeprefix("\ufeff").strip() for column in next(reader, [])]
    if not any(header) or len(set(header)) < len(header):
        raise DocumentError(f"{name} has no header: its first row must name each column once")
    rows = (row for row in reader if row)
    head = list(islice(rows, _SAMPLE))
    sizes = {
        column: sum(len(row[place]) for row in head if len(row) > place)
        for place, column in enumerate(header)
    }
    columns = Columns.choose(header, sizes, name)
    for number, row in enumerate(chain(head, rows), 1):
        yield _record(columns, header, row, number, name)


def _record(columns: Columns, header: list[str], row: list[str], number: int, name: str) -> Record:
    where = f"{name}, row {number}"
    if len(row) != len(header):
        return Record(
            number,
            DocumentError(f"{where} has {len(row)} fields, the header names {len(header)}"),
        )
    try:
        "".join(row).encode()
    except UnicodeEncodeError:
        return Record(number, DocumentError(f"{where} is not valid UTF-8; convert the file"))
    title = f"{Path(name).stem} {number}"
    return columns.record(dict(zip(header, row, strict=True)), number, name, title, "csv")


def _lines(text: io.TextIOWrapper, name: str) -> Iterator[str]:
    """Lines of bounded length: one without an end would fill the memory."""
    while line := text.readline(MAX_RECORD):
        if len(line) == MAX_RECORD:
            raise DocumentError(f"{name} has a line longer than {MAX_RECORD // 2**20} MiB")
        yield line
