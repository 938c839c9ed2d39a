"""Readers in this process: for tests, and for a service without a cluster."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from mplus_ray.actors.messages import AskRequest, AskResult, SearchRequest, SearchResult, TextDelta
from mplus_ray.model.errors import MPlusError

if TYPE_CHECKING:
    from mplus_ray.actors.reading.engine import Answering
    from mplus_ray.actors.reading.request import Event


class LocalReaders:
    """One `Answering` behind the protocol that the API speaks."""

    def __init__(self, answering: Answering) -> None:
        self._answering = answering

    async def ask(self, asked: AskRequest) -> AsyncGenerator[TextDelta | AskResult, None]:
        """Answer in this process, see `ReaderClient.ask`."""
        if asked.sampling.get("constraint") is not None:
            await asyncio.to_thread(self._answering.prepare, asked)
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[Event] = asyncio.Queue()
        handle = self._answering.ask(
            asked, lambda told: void(loop.call_soon_threadsafe(queue.put_nowait, told))
        )
        try:
            while True:
                told = await queue.get()
                if isinstance(told, MPlusError):
                    raise told
                assert not isinstance(told, SearchResult), "a question was asked"
                yield told
                if isinstance(told, AskResult):
                    return
        finally:
            handle.cancel()

    async def search(self, asked: SearchRequest) -> SearchResult:
        """Search in this process, see `ReaderClient.search`."""
        return await searched(self._answering, asked)

    async def stats(self) -> Sequence[Any]:
        return [self._answering.stats()]

    async def close(self, tenant: str) -> None:
        await asyncio.to_thread(self._answering.close, tenant)


def void(_: object) -> None:
    """Nobody wants the result."""


async def searched(answering: Answering, asked: SearchRequest) -> SearchResult:
    """What an engine of this process finds; cancelling this gives the search up.

    Raises:
        MPlusError: as it was told.
    """
    loop = asyncio.get_running_loop()
    found: asyncio.Future[SearchResult] = loop.create_future()

    def settle(told: Event) -> None:
        if found.done():  # it was cancelled
            return
        if isinstance(told, SearchResult):
            found.set_result(told)
        elif isinstance(told, MPlusError):
            found.set_exception(told)

    def deliver(told: Event) -> None:
        with suppress(RuntimeError):  # the loop is closed, and nobody waits
            loop.call_soon_threadsafe(settle, told)

    handle = answering.search(asked, deliver)
    try:
        return await found
    finally:
        handle.cancel()
