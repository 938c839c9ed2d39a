"""Signs of life while something takes long, on a terminal or not."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

EVERY_SECONDS = 10.0


class Progress:
    """Says every ten seconds what is still being done, and notes how long each thing took.

    Attributes:
        phases: seconds of each thing that is over, by its name.
    """

    def __init__(
        self,
        say: Callable[[str], None],
        every: float = EVERY_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            say: is called from a thread.
            every: seconds between two signs.
        """
        self._say, self._every, self._clock = say, every, clock
        self._doing = ""
        self._began = clock()
        self._silent = False
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._tell, name="progress", daemon=True)
        self.phases: dict[str, float] = {}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.now("")
        self._over.set()
        self._thread.join()

    def now(self, doing: str, tells_itself: bool = False) -> None:
        """Another thing is done from now on; nothing, if it has no name.

        Args:
            tells_itself: how far it is, so that no signs are needed.
        """
        with self._lock:
            now = self._clock()
            if self._doing:
                before = self.phases.get(self._doing, 0.0)
                self.phases[self._doing] = round(before + now - self._began, 1)
            self._doing, self._began, self._silent = doing, now, tells_itself

    def _tell(self) -> None:
        while not self._over.wait(self._every):
            with self._lock:
                doing = "" if self._silent else self._doing
                seconds = self._clock() - self._began
            if doing and seconds >= self._every:
                self._say(f"still {doing}, {seconds:.0f} s")
