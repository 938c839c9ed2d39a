"""Ctrl-C as a wish to end, for work that ends only by it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def stopped_by_signals(stop: threading.Event, wanted: bool) -> Iterator[None]:
    """The first SIGINT or SIGTERM sets `stop`, the second one interrupts as ever.

    Args:
        wanted: without it signals stay what they are.
    """
    if not wanted:
        yield
        return

    def on_signal(*_: Any) -> None:
        stop.set()
        restore()

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    before = {n: signal.signal(n, on_signal) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        restore()
