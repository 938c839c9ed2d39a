"""A mailbox cut into messages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO

from mplus_ray.pipeline.parsing.records.record import MAX_RECORD

_BEGIN = b"From "
_DATED = re.compile(rb"From \S{1,300} .{0,100}\d\d:\d\d")
_HEADER = re.compile(rb">?[!-9;-~]{1,100}:")


def messages(file: BinaryIO) -> Iterator[bytes | None]:
    """Each begins with a line `From …` after an empty one, which says when or which a header
    follows; prose may begin so too. None: it is too long.
    """
    lines: list[bytes] = []
    size = 0
    blank, begun = True, False
    line = file.readline(MAX_RECORD)
    while line:
        following = file.readline(MAX_RECORD)
        begins = blank and line.startswith(_BEGIN)
        if begins and (_HEADER.match(following) or _DATED.match(line)):
            if begun and size:
                yield _joined(lines, size)
            lines, size, blank, begun = [], 0, False, True
        else:
            blank, begun = not line.strip(), True
            size += len(line)
            if size <= MAX_RECORD:
                lines.append(line.removeprefix(b">") if line.startswith(b">From ") else line)
        line = following
    if size:
        yield _joined(lines, size)


def _joined(lines: list[bytes], size: int) -> bytes | None:
    return b"".join(lines) if size <= MAX_RECORD else None
