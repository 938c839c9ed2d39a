"""Whose file is parsed next: tenants take turns, and none has all of the parsers."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager


class ParserTurns:
    """Turns at so many parsers, in one event loop.

    The next one goes to the tenant that has the fewest files under way, and among equals to the
    file that has waited longest. One parser is always left for others, if there are several.
    """

    def __init__(self, parsers: int) -> None:
        self._free = parsers
        self._most = max(1, parsers - 1)
        self._running: Counter[str] = Counter()
        self._waiting: list[tuple[str, asyncio.Future[None]]] = []

    @asynccontextmanager
    async def turn(self, tenant: str, patience: float) -> AsyncGenerator[None, None]:
        """One parser, for as long as this lasts.

        Args:
            patience: seconds to wait for it.

        Raises:
            TimeoutError: none was free in time.
        """
        given: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = (tenant, given)
        self._waiting.append(waiting)
        self._give()
        try:
            async with asyncio.timeout(patience):
                await given
        except BaseException:
            if waiting in self._waiting:
                self._waiting.remove(waiting)
            else:  # it came in the same moment
                self._take_back(tenant)
            raise
        try:
            yield
        finally:
            self._take_back(tenant)

    def _take_back(self, tenant: str) -> None:
        self._free += 1
        self._running[tenant] -= 1
        if not self._running[tenant]:
            del self._running[tenant]
        self._give()

    def _give(self) -> None:
        while self._free:
            may = [each for each in self._waiting if self._running[each[0]] < self._most]
            if not may:
                return
            chosen = min(may, key=lambda each: self._running[each[0]])
            self._waiting.remove(chosen)
            self._free -= 1
            self._running[chosen[0]] += 1
            chosen[1].set_result(None)
