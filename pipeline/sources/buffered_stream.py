"""A stream that knows whether another line has arrived, so that a lone one need not wait for it."""

from __future__ import annotations

import io
import select
from typing import BinaryIO

_PART = 1 << 16  # bytes read at a time


class Arriving:
    """Lines of a pipe, a terminal or a file."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._held = bytearray()
        self._searched = 0  # of it, without a line's end
        self._ended = False

    def readline(self, size: int = -1, /) -> bytes:
        """The next line with its end, or its first `size` bytes; waits for it."""
        while (end := self._line_end()) == 0 and not self._ended:
            if 0 <= size <= len(self._held):
                break
            self._read()
        taken = end or len(self._held)
        taken = taken if size < 0 else min(taken, size)
        line = bytes(self._held[:taken])
        del self._held[:taken]
        self._searched = 0
        return line

    @property
    def ready(self) -> bool:
        """Whether the next line can be had without waiting; of a very long one it is not said."""
        while not (self._line_end() or self._ended or len(self._held) >= _PART):
            if not select.select([self._stream], [], [], 0)[0]:
                return False
            self._read()
        return self._line_end() > 0 or (self._ended and len(self._held) > 0)

    def _line_end(self) -> int:
        """Bytes up to the first line's end; 0 if there is none."""
        end = self._held.find(b"\n", self._searched) + 1
        if not end:
            self._searched = len(self._held)
        return end

    def _read(self) -> None:
        part = self._stream.read1(_PART)  # type: ignore[attr-defined]  # one call of the system's
        self._held += part
        self._ended = not part


def arriving(stream: BinaryIO) -> Arriving | None:
    """The stream, if it is one for which a reader may have to wait."""
    try:
        stream.fileno()
    except io.UnsupportedOperation:
        return None
    return Arriving(stream)
