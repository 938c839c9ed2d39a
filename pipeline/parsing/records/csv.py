"""Comma-separated values: one document a row, read as a stream."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO

from mplus_ray.model.errors import DocumentError
from mplus_ray.pipeline.parsing.records.record import MAX_RECORD, Record
from mplus_ray.pipeline.parsing.records.tables import Columns
from mplus_ray.pipeline.parsing.refusals import Refusal
from mplus_ray.pipeline.parsing.text.encodings import table_encoding

_SAMPLE = 100  # rows by which the columns are told apart
_DELIMITERS = ",;\t|"
_LOOK = 8  # lines in which the header is looked for
_LONGEST_LOOK = 10_000  # characters of one of them
_MOST_COLUMNS = 16_384
_LONG_NAME = 60  # characters; what is longer is no column's name
_MOST_LINES = 10_000  # of one row: more is a quote that nobody closed

# A field is a document's text; the default of 128 KiB is for tables of numbers.
csv.field_size_limit(MAX_RECORD)


def read_csv(file: BinaryIO, name: str) -> Iterator[Record]:
    """The documents of a file.

    Its first row names the columns, or the first that has as many fields as the others. A file of
    running text without such a row has one document a row. A quote that is never closed spoils
    the row in which it begins, and no other.

    Raises:
        DocumentError: it has no rows or no text, or two columns of one name.
    """
    start = file.read(1 << 16)
    file.seek(0)
    encoding = table_encoding(start)
    # A byte that is no text spoils its own row only: see `_record`.
    text = io.TextIOWrapper(file, encoding, errors="surrogateescape", newline="")
    try:
        yield from _records(text, name)
    except (csv.Error, UnicodeError) as error:
        raise DocumentError(
            f"{name}: {error}; what came before is taken in, correct the file from there on",
            Refusal.MALFORMED,
        ) from error
    finally:
        text.detach()  # the caller closes the file


Row = list[str] | DocumentError


def _records(text: io.TextIOWrapper, name: str) -> Iterator[Record]:
    lines = _Lines(text, name)
    head = lines.peek(_LOOK)
    delimiter = max(_DELIMITERS, key=lambda mark: _regularity(head, mark))
    rows = _rows(lines, delimiter, name)
    sample = list(islice(rows, _SAMPLE))
    skipped, header = _header([row for row in sample if isinstance(row, list)], name)
    kind = "tsv" if delimiter == "\t" else "csv"
    body = sample[skipped:]
    good = [row for row in body if isinstance(row, list)]
    sizes = {
        column: sum(len(row[place]) for row in good if len(row) > place)
        for place, column in enumerate(header)
        if column
    }
    columns = Columns.choose([column for column in header if column], sizes, name, len(good))
    if columns.text is not None:  # what has no name is kept beside it under one
        header = [column or f"column {place}" for place, column in enumerate(header, 1)]
    table = _Table(columns, header, name, Path(name).stem, kind)
    for number, row in enumerate(chain(body, rows), 1):
        yield table.record(row, number)


def _regularity(head: Sequence[str], mark: str) -> tuple[int, int]:
    """How many of the first lines have as many fields as most, and how many these are: a text
    may have more commas than its table has columns.
    """
    widths = [len(next(csv.reader([line[:_LONGEST_LOOK]], delimiter=mark), [])) for line in head]
    several = Counter(width for width in widths if width > 1)
    width, lines = max(several.items(), key=lambda each: (each[1], each[0]), default=(0, 0))
    return lines, width


def _header(rows: Sequence[list[str]], name: str) -> tuple[int, list[str]]:
    """How many rows come before the first document, and the columns' names; empty: it has none."""
    if not rows:
        raise DocumentError(
            f"{name} has no header: its first row must name each column once", Refusal.MALFORMED
        )
    widths = [_width(row) for row in rows]
    place = 0
    if sum(width > 1 for width in widths) > len(rows) // 2 and len(rows) > 2:
        # Titles above the table are no names of columns.
        place = next(place for place, width in enumerate(widths) if width > 1)
    if _is_running_text(rows[place:]):
        return place, ["text"]
    header = [column.removeprefix("\ufeff").strip() for column in rows[place]]
    while header and not header[-1]:
        header.pop()
    named = [column for column in header if column]
    if not named or len(set(named)) < len(named):
        raise DocumentError(
            f"{name} has no header: its first row must name each column once", Refusal.MALFORMED
        )
    if len(header) > _MOST_COLUMNS:
        raise DocumentError(
            f"{name} has {len(header):,} columns; {_MOST_COLUMNS:,} are allowed: split it",
            Refusal.TOO_LARGE,
        )
    if any(map(_is_no_name, named)) or all(map(_is_number, named)):
        raise DocumentError(
            f"{name} has no header: its first row is {rows[place][0][:40]!r}…, which names no "
            "column; write a first row that names each column once",
            Refusal.MALFORMED,
        )
    return place + 1, header


def _is_no_name(column: str) -> bool:
    """Whether it is text, not what a column of text is called."""
    return len(column) > _LONG_NAME or (column[-1:] in ".!?…。" and len(column.split()) > 2)


def _is_number(column: str) -> bool:
    return column.strip("-+.,%€$ ").replace(".", "").replace(",", "").isdigit()


def _width(row: Sequence[str]) -> int:
    """Fields up to the last that is not empty."""
    return max((place for place, field in enumerate(row, 1) if field.strip()), default=0)


def _is_running_text(rows: Sequence[list[str]]) -> bool:
    """Whether there is one column, whose first row is a sentence like the others."""
    if any(_width(row) > 1 for row in rows):
        return False
    first = rows[0][0].strip()
    words = first.split()
    return (len(words) > 1 and first[-1:] in ".!?…。") or len(first) > _LONG_NAME


@dataclass(frozen=True)
class _Table:
    """What the rows of one file have in common."""

    columns: Columns
    header: list[str]
    name: str
    stem: str
    kind: str

    def record(self, row: Row, number: int) -> Record:
        if isinstance(row, DocumentError):
            return Record(number, row)
        header, where = self.header, f"{self.name}, row {number}"
        if len(row) > len(header) and (width := _width(row)) > len(header):
            reason = f"{where} has {width} fields, the header names {len(header)}"
            return Record(number, DocumentError(reason, Refusal.MALFORMED))
        try:
            "".join(row).encode()
        except UnicodeEncodeError:
            return Record(
                number,
                DocumentError(f"{where} is not valid UTF-8; convert the file", Refusal.ENCODING),
            )
        # Spreadsheets leave empty fields at the end out.
        row += [""] * (len(header) - len(row))
        fields = dict(zip(header, row, strict=False))
        if self.columns.text is None and fields.pop("", "") != "":
            fields = self._with_unnamed(row, number)
        title = f"{self.stem} {number}"
        return self.columns.record(fields, number, self.name, title, self.kind)

    def _with_unnamed(self, row: list[str], number: int) -> dict[str, str]:
        """The fields of a row, with those of columns without a name unless they only count."""
        counts = (str(number), str(number - 1))
        named = {column: value for column, value in zip(self.header, row, strict=False) if column}
        unnamed = (
            value
            for column, value in zip(self.header, row, strict=False)
            if not column and value.strip() not in counts
        )
        return {**named, "": "; ".join(value for value in map(str.strip, unnamed) if value)}


def _rows(lines: _Lines, delimiter: str, name: str) -> Iterator[Row]:
    """Rows that are not empty. One with a quote that stays open is an error of its first line,
    and reading goes on with the line after it.
    """
    number = 0
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        lines.begin_row()
        try:
            row = next(reader, None)
        except csv.Error as error:
            reader = csv.reader(lines, delimiter=delimiter, strict=True)  # without what it holds
            number += 1
            if len(lines.held) > 1:
                lines.back_to_second()
                yield DocumentError(
                    f"{name}: the quote that row {number} opens is never closed; close it, or "
                    "double it if it belongs to the text",
                    Refusal.MALFORMED,
                )
            else:
                yield _lenient(lines.held, delimiter, f"{name}, row {number}: {error}")
            continue
        if row is None:
            return
        if row:
            number += 1
            yield row


def _lenient(line: Sequence[str], delimiter: str, reason: str) -> Row:
    """A row of one line whose quotes are not as they should be: `"a" b,c`."""
    if not line or line[0].count('"') % 2:
        return DocumentError(reason, Refusal.MALFORMED)
    return next(csv.reader(line, delimiter=delimiter), [])


class _Lines:
    """Lines of bounded length, which can be read again from where a row began.

    Attributes:
        held: the lines of the row at hand.
    """

    def __init__(self, text: io.TextIOWrapper, name: str) -> None:
        self._text = text
        self._name = name
        self._waiting: list[str] = []  # in reverse
        self.held: list[str] = []

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = "" if len(self.held) >= _MOST_LINES else self._next()
        if not line:
            raise StopIteration
        self.held.append(line)
        return line

    def begin_row(self) -> None:
        """What comes next is a row of its own."""
        self.held = []

    def back_to_second(self) -> None:
        """Give back all lines of the row but its first."""
        self._waiting += reversed(self.held[1:])

    def peek(self, count: int) -> list[str]:
        """The next lines, which stay."""
        found: list[str] = []
        while len(found) < count and (line := self._next()):
            found.append(line)
        self._waiting += reversed(found)
        return found

    def _next(self) -> str:
        if self._waiting:
            return self._waiting.pop()
        line = self._text.readline(MAX_RECORD)
        if len(line) == MAX_RECORD:
            raise DocumentError(
                f"{self._name} has a line longer than {MAX_RECORD // 2**20} MiB", Refusal.TOO_LARGE
            )
        return line
