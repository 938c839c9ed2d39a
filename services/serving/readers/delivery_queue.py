"""From the threads of an engine to one coroutine: several things at a time, if they pile up."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress

from mplus_ray.actors.messages import AskResult, SearchResult, TextDelta
from mplus_ray.model.errors import MPlusError

Said = TextDelta | AskResult | SearchResult | MPlusError

# Seconds between two messages with pieces: nobody reads faster, and each message costs the thread
# that decodes a millisecond.
PACE = 0.025


class DeliveryQueue:
    """What was said and not taken away yet; it holds no more than one answer.

    Make it in the coroutine that will take.

    Args:
        pace: seconds from one take to the next. The first piece and the end wait for nothing.
    """

    def __init__(self, pace: float = PACE) -> None:
        self._pace = pace
        self._next = 0.0  # when the loop's clock says so
        self._resting = False
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._said: list[Said] = []
        self._filled = asyncio.Event()

    def put(self, said: Said) -> None:
        """From any thread. It wakes the coroutine if that has nothing yet, or nothing follows."""
        with self._lock:
            self._said.append(said)
            if isinstance(said, TextDelta) and (self._resting or len(self._said) > 1):
                return
        with suppress(RuntimeError):  # the loop is closed, and nobody will take it
            self._loop.call_soon_threadsafe(self._filled.set)

    async def filled(self, seconds: float) -> bool:
        """Wait for something, but not for longer."""
        try:
            async with asyncio.timeout(seconds):
                await self._filled.wait()
        except TimeoutError:
            return False
        return True

    async def take(self) -> list[Said]:
        """Wait for something, and take all there is; pieces in a row are one."""
        if self._resting:
            await self._rest()
        await self._filled.wait()
        with self._lock:
            said, self._said = self._said, []
            self._filled.clear()
            self._resting = True
        self._next = self._loop.time() + self._pace
        return _joined(said)

    async def _rest(self) -> None:
        """Let pieces pile up until the next take is due or the answer has ended."""
        await self.filled(max(0.0, self._next - self._loop.time()))
        with self._lock:
            self._resting = False
            if self._said:
                self._filled.set()


def _joined(said: list[Said]) -> list[Said]:
    joined: list[Said] = []
    for one in said:
        last = joined[-1] if joined else None
        if isinstance(one, TextDelta) and isinstance(last, TextDelta):
            joined[-1] = TextDelta(last.text + one.text)
        else:
            joined.append(one)
    return joined
