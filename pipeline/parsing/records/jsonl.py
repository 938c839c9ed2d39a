"""Newline-delimited JSON: one document a line, read as a stream."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

from mplus_ray.model.errors import DocumentError
from mplus_ray.pipeline.parsing.records.record import MAX_RECORD, Record, parse_json
from mplus_ray.pipeline.parsing.refusals import Refusal
from mplus_ray.pipeline.parsing.text.encodings import encoding_of

_LOOK = 1 << 16  # bytes by which the encoding is told


class LineReader(Protocol):
    """What lines are read from."""

    def readline(self, size: int = -1, /) -> bytes: ...


def read_jsonl(file: BinaryIO, name: str) -> Iterator[Record]:
    """The documents of a file, one line in memory at a time."""
    title = Path(name).stem
    encoding = encoding_of(file.read(_LOOK), None) or "utf-8"
    file.seek(0)
    lines: LineReader = file if encoding.startswith("utf-8") else _Recoded(file, encoding)
    for number, line in bounded_lines(lines):
        where = f"{name}, line {number}"
        if line is None:
            yield Record(number, too_long(where))
        else:
            yield parse_json(line, number, where, f"{title} {number}", "jsonl")


class _Recoded:
    """Lines of another encoding as UTF-8; a byte that is none spoils its own line."""

    def __init__(self, file: BinaryIO, encoding: str) -> None:
        self._text = io.TextIOWrapper(file, encoding, errors="surrogateescape", newline="\n")

    def readline(self, size: int = -1, /) -> bytes:
        return self._text.readline(size).encode("utf-8", "surrogateescape")


def bounded_lines(file: LineReader) -> Iterator[tuple[int, bytes | None]]:
    """(number, line) of the lines that are not blank; None for one longer than a record may be."""
    number = 0
    while line := file.readline(MAX_RECORD + 1):
        number += 1
        if len(line) > MAX_RECORD and not line.endswith(b"\n"):
            while (rest := file.readline(MAX_RECORD)) and not rest.endswith(b"\n"):
                pass
            yield number, None
        elif not line.isspace():
            yield number, line


def too_long(where: str) -> DocumentError:
    """Of a line beyond `MAX_RECORD`."""
    return DocumentError(
        f"{where} is longer than {MAX_RECORD // 2**20} MiB; split the document", Refusal.TOO_LARGE
    )
