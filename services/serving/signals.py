"""Ctrl-C for a service: it ends what is starting, lets what runs come to its end, and hurries."""

from __future__ import annotations

import signal
import threading
from types import TracebackType
from typing import Any, Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Signals:
    """SIGINT and SIGTERM as two wishes; enter it in the main thread.

    Attributes:
        stop: set by the first signal. Until `started`, that also raises KeyboardInterrupt.
        hurry: set by the second: do not wait for anybody.
    """

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.hurry = threading.Event()
        self._starting = True
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        self._before = {number: signal.getsignal(number) for number in _SIGNALS}
        self.take()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def take(self) -> None:
        """Have the signals again, after somebody else took them: Ray does, when it starts."""
        for number in _SIGNALS:
            signal.signal(number, self._on_signal)

    def check(self) -> None:
        """Interrupt a start that somebody asked to end, in case it was not heard the first time:
        an exception in a callback of other code is lost.

        Raises:
            KeyboardInterrupt: a signal came.
        """
        if self.stop.is_set():
            raise KeyboardInterrupt

    def started(self) -> None:
        """From now on nothing is interrupted; look at `stop`."""
        self._starting = False

    def _on_signal(self, *_: Any) -> None:
        if self.stop.is_set():
            self.hurry.set()
            return
        self.stop.set()
        if self._starting:
            self._starting = False
            raise KeyboardInterrupt
