"""Small notes in the ledger for which no request waits: when something was used last."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from mplus_ray.model.errors import MPlusError

_ROOM = 1000  # notes that wait; more than that are not worth taking


class DeferredWrites:
    """Writes them one after the other in a thread of its own, which begins with the first.

    A note that cannot be written is left out: the same one comes again with the next use.
    """

    def __init__(self) -> None:
        self._thread: ThreadPoolExecutor | None = None
        self._waiting: set[str] = set()
        self._lock = threading.Lock()
        self._closed = False

    def submit(self, name: str, write: Callable[[], object]) -> None:
        """Have `write` called soon; while one of that name waits, another is not taken."""
        with self._lock:
            if self._closed or name in self._waiting or len(self._waiting) >= _ROOM:
                return
            self._waiting.add(name)
            if self._thread is None:
                self._thread = ThreadPoolExecutor(1, "notes")
            self._thread.submit(self._write, name, write)

    def close(self) -> None:
        """Write what waits; what comes later is left out."""
        with self._lock:
            self._closed = True
        if self._thread is not None:
            self._thread.shutdown()

    def _write(self, name: str, write: Callable[[], object]) -> None:
        try:
            with suppress(MPlusError):
                write()
        finally:
            with self._lock:
                self._waiting.discard(name)
