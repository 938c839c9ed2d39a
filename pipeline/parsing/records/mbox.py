"""A mailbox: one document a message."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO

from mplus_ray.model.errors import DocumentError
from mplus_ray.pipeline.parsing.formats.pdf.ocr import Ocr
from mplus_ray.pipeline.parsing.parse import parse_bytes
from mplus_ray.pipeline.parsing.records.record import MAX_RECORD, Record
from mplus_ray.pipeline.parsing.refusals import Refusal

_BEGIN = b"From "


def read_mbox(file: BinaryIO, name: str, ocr: Ocr | None = None) -> Iterator[Record]:
    """The messages, one in memory at a time."""
    stem = Path(name).stem
    for number, data in enumerate(_messages(file), 1):
        parse = partial(parse_bytes, ocr=ocr, depth=1)
        try:
            if data is None:
                raise DocumentError(
                    f"{name}, message {number} is longer than {MAX_RECORD // 2**20} MiB; save it "
                    "as a file of its own",
                    Refusal.TOO_LARGE,
                )
            yield Record(number, parse(data, f"{stem} {number}.eml"))
        except DocumentError as error:
            yield Record(number, error)


def _messages(file: BinaryIO) -> Iterator[bytes | None]:
    """Each between two lines that begin with `From ` after an empty one; None: it is too long."""
    lines: list[bytes] = []
    size = 0
    blank = True
    while line := file.readline(MAX_RECORD):
        if blank and line.startswith(_BEGIN):
            if lines or size:
                yield _joined(lines, size)
            lines, size = [], 0
            blank = False
            continue
        blank = not line.strip()
        size += len(line)
        if size <= MAX_RECORD:
            lines.append(line.removeprefix(b">") if line.startswith(b">From ") else line)
    if size:
        yield _joined(lines, size)


def _joined(lines: list[bytes], size: int) -> bytes | None:
    return b"".join(lines) if size <= MAX_RECORD else None
