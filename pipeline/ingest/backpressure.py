"""A source that waits for the writers, so that what is taken in does not pile up."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from mplus_ray.pipeline.ledger.tenant_log import TenantLog

_LOOK_SECONDS = 10.0  # between looks at the ledger while there is room: others add chunks too
_POLL_SECONDS = 0.5  # while there is none


class Pressure:
    """Counts the chunks of a tenant that wait, and holds up who would add more than so many.

    The ledger is asked when the count since the last look could be too high, and now and then.
    Documents that share a transaction, at most 64 small ones or a large one, are added whole, so
    their chunks can go beyond the bound.

    Attributes:
        waiting: chunks at the last look, and those added since; it can only be too high by what
            writers have done meanwhile.
    """

    def __init__(
        self,
        log: TenantLog,
        most: int,
        pause: Callable[[float], bool] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            most: chunks that may wait; 0: any number.
            pause: waits for so many seconds; True: do not wait any more.
        """
        self.waiting = 0
        self._log = log
        self._most = most
        self._pause = pause or threading.Event().wait
        self._clock = clock
        self._looked: float | None = None

    def add(self, chunks: int) -> None:
        """So many more are in the log."""
        self.waiting += chunks

    def wait_for_room(self, on_wait: Callable[[], None] = lambda: None) -> None:
        """Return when there is room for another document, or nobody is to wait any more.

        Args:
            on_wait: called before each pause.
        """
        if self._most == 0:
            return
        if self.waiting > self._most or self._is_old():
            self.look()
        while self.waiting > self._most:
            on_wait()
            if self._pause(_POLL_SECONDS):
                return
            self.look()

    def look(self) -> int:
        """Ask the ledger how many wait."""
        self.waiting = self._log.waiting()
        self._looked = self._clock()
        return self.waiting

    def _is_old(self) -> bool:
        return self._looked is None or self._clock() - self._looked > _LOOK_SECONDS
