"""Responses that come bit by bit, and stop at once when their client is gone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from contextlib import aclosing
from typing import Any, TypeVar

from fastapi import Request
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from mplus_ray.services.api.problems.errors import DeadlineError

T = TypeVar("T")


class _End:
    """Nothing follows."""


class ClientGoneError(Exception):
    """Nobody is there any more to be answered."""


class Streamed(StreamingResponse):
    """A body from an async generator, which is closed as soon as the client has gone.

    Starlette's own notices that only when it sends the next bit. No proxy is to hold it back
    (nginx does by default).
    """

    def __init__(self, content: AsyncGenerator[bytes, None], **options: Any) -> None:
        super().__init__(content, **options)
        self.headers["x-accel-buffering"] = "no"
        self._content = content

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sending = asyncio.create_task(self.stream_response(send))
        listening = asyncio.create_task(self.listen_for_disconnect(receive))
        try:
            await asyncio.wait({sending, listening}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sending, listening):
                task.cancel()
            await asyncio.gather(sending, listening, return_exceptions=True)
            await self._content.aclose()
        if not sending.cancelled():
            sending.result()


class EventStream(Streamed):
    """Server-sent events."""

    media_type = "text/event-stream"


def event(data: Any, name: str | None = None) -> bytes:
    """One server-sent event.

    Args:
        data: JSON, or a text that stands as it is.
    """
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {text}\n\n".encode()


async def within(seconds: float, source: AsyncIterator[T]) -> AsyncGenerator[T, None]:
    """What a source gives, for at most so long; closing this closes it at once.

    The source runs in a task of its own, so a slow reader does not hold it up, and its
    time is up whether or not anybody reads.

    Raises:
        DeadlineError: it was not done in time.
    """
    queue: asyncio.Queue[T | _End] = asyncio.Queue()

    async def run() -> None:
        try:
            async with asyncio.timeout(seconds):
                async for each in source:
                    queue.put_nowait(each)
        except TimeoutError:
            raise DeadlineError(
                f"no complete answer came in {seconds:g} s; ask for fewer tokens, or again later",
                5.0,
            ) from None
        finally:
            queue.put_nowait(_End())
            if isinstance(source, AsyncGenerator):
                await source.aclose()

    task = asyncio.create_task(run())
    try:
        while not isinstance(each := await queue.get(), _End):
            yield each
        await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of some work, which is cancelled when the client goes away.

    The body of the request has to be read already.

    Raises:
        ClientGoneError: it did.
    """
    working = asyncio.create_task(work)
    leaving = asyncio.create_task(_gone(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientGoneError
        return working.result()
    finally:
        for task in (working, leaving):
            task.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def peeked(source: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
    """A stream whose first item is there: what fails before can still have its status."""
    try:
        first = await anext(source)
    except BaseException:
        await source.aclose()
        raise

    async def all_of_it() -> AsyncGenerator[T, None]:
        async with aclosing(source):
            yield first
            async for each in source:
                yield each

    return all_of_it()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
