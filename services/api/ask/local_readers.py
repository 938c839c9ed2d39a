"""Readers in this process: for tests, and for a service without a cluster."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import TYPE_CHECKING, Any

from mplus_ray.actors.messages import AskRequest, AskResult, TextDelta
from mplus_ray.model.errors import MPlusError

if TYPE_CHECKING:
    from mplus_ray.actors.reading.engine import Answering


class LocalReaders:
    """One `Answering` behind the protocol that the API speaks."""

    def __init__(self, answering: Answering) -> None:
        self._answering = answering

    async def ask(self, asked: AskRequest) -> AsyncGenerator[TextDelta | AskResult, None]:
        """Answer in this process, see `ReaderClient.ask`."""
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[TextDelta | AskResult | MPlusError] = asyncio.Queue()
        ticket = self._answering.ask(
            asked, lambda told: void(loop.call_soon_threadsafe(queue.put_nowait, told))
        )
        try:
            while True:
                told = await queue.get()
                if isinstance(told, MPlusError):
                    raise told
                yield told
                if isinstance(told, AskResult):
                    return
        finally:
            ticket.cancel()

    async def stats(self) -> Sequence[Any]:
        return [self._answering.stats()]

    async def close(self, tenant: str) -> None:
        await asyncio.to_thread(self._answering.close, tenant)


def void(_: object) -> None:
    """Nobody wants the result."""
