"""Ctrl-C for a service: it ends what is starting, lets what runs come to its end, and hurries."""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_AGAIN_SECONDS = 0.02


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
        self._raised = False
        self._before: dict[int, Any] = {}
        self._told_before = sys.unraisablehook

    def __enter__(self) -> Self:
        self._before = {number: signal.getsignal(number) for number in (*_SIGNALS, signal.SIGALRM)}
        signal.signal(signal.SIGALRM, self._interrupt)
        self._told_before, sys.unraisablehook = sys.unraisablehook, self._unraisable
        self.take()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        sys.unraisablehook = self._told_before
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def take(self) -> None:
        """Have the signals again, after somebody else took them: Ray does, when it starts."""
        for number in _SIGNALS:
            signal.signal(number, self._on_signal)

    def check(self) -> None:
        """Interrupt a start that somebody asked to end, in case it was not heard the first time.

        Raises:
            KeyboardInterrupt: a signal came.
        """
        if self.stop.is_set():
            raise KeyboardInterrupt

    def started(self) -> None:
        """From now on nothing is interrupted; look at `stop`."""
        self._starting = False

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.stop.is_set():
            self.hurry.set()
            return
        self.stop.set()
        self._interrupt(number, frame)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        """Raise once, now or a little later.

        Python takes the lock of `logging` round every fork, in calls whose exceptions are lost:
        one that is raised there leaves the lock taken, and every thread that logs waits for ever.
        """
        if not self._starting or self._raised:
            return
        if frame is not None and frame.f_globals.get("__name__") == "logging":
            self._later()
            return
        self._raised = True
        raise KeyboardInterrupt

    def _unraisable(self, lost: UnraisableHookArgs) -> None:
        """Called with what was raised where nobody can catch it, in a destructor for instance."""
        if self._raised and isinstance(lost.exc_value, KeyboardInterrupt):
            self._raised = False
            self._later()
        else:
            self._told_before(lost)

    def _later(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, _AGAIN_SECONDS)
