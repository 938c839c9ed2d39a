"""The chunks of one job, read and tokenized in a thread before their turn in a forward pass."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Executor, Future

from mplus_ray.pipeline.chunking.headers import with_header
from mplus_ray.pipeline.chunking.tokenizer import Tokenizer
from mplus_ray.pipeline.ledger.documents.chunks import Chunk

_AHEAD = 4  # chunks that are read at a time

Ready = tuple[Chunk, list[int]]  # a chunk and its token ids, its header's among them


class ReadAhead:
    """A job's chunks in order; while some wait for their turn, the next are being read."""

    def __init__(self, chunks: Iterator[Chunk], tokenizer: Tokenizer, thread: Executor) -> None:
        """
        Args:
            chunks: read in `thread` only.
            thread: of one thread, so that chunks come in order.
        """
        self._chunks = chunks
        self._tokenizer = tokenizer
        self._thread = thread
        self._ready: deque[Ready] = deque()
        self._coming: Future[list[Ready]] | None = None
        self._ended = False
        self._submit()

    def next(self) -> Ready | None:
        """The next chunk, waiting for it if need be; None after the last.

        Raises:
            MPlusError: it cannot be read.
        """
        if not self._ready and self._coming is not None:
            self._ready.extend(self._coming.result())
            self._coming = None
            self._submit()
        return self._ready.popleft() if self._ready else None

    @property
    def is_through(self) -> bool:
        """Whether it is known already, without waiting, that nothing follows."""
        if self._ready or not self._ended:
            return False
        return self._coming is None or (self._coming.done() and not self._coming.result())

    def _submit(self) -> None:
        """At the end of the log nothing comes, and nothing is asked for again."""
        if not self._ended:
            self._coming = self._thread.submit(self._read)

    def _read(self) -> list[Ready]:
        found: list[Ready] = []
        for chunk in self._chunks:
            found.append((chunk, with_header(self._tokenizer, chunk.heading, chunk.text)))
            if len(found) == _AHEAD:
                return found
        self._ended = True
        return found
