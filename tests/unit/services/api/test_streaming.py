"""Responses that come bit by bit: they stop at once when their client or their time is gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from starlette.requests import Request

from mplus_ray.services.api.problems.errors import DeadlineError
from mplus_ray.services.api.streaming import (
    ClientGoneError,
    EventStream,
    event,
    peeked,
    while_connected,
    within,
)


class Source:
    """Numbers that come when they are let, and whether it was closed."""

    def __init__(self, *, error: Exception | None = None) -> None:
        self.more = asyncio.Semaphore(0)
        self.error = error
        self.closed = asyncio.Event()

    async def __call__(self) -> AsyncGenerator[int, None]:
        try:
            number = 0
            while True:
                await self.more.acquire()
                if self.error is not None and number:
                    raise self.error
                yield number
                number += 1
        finally:
            self.closed.set()


def let(source: Source, count: int) -> None:
    for _ in range(count):
        source.more.release()


def test_what_is_closed_is_closed_at_its_source() -> None:
    async def run() -> None:
        source = Source()
        let(source, 2)
        numbers = within(60, source())
        assert [await anext(numbers), await anext(numbers)] == [0, 1]
        await numbers.aclose()
        assert source.closed.is_set()

    asyncio.run(run())


def test_time_is_up_whether_or_not_anybody_reads() -> None:
    async def run() -> None:
        source = Source()
        let(source, 1)
        numbers = within(0.05, source())
        assert await anext(numbers) == 0
        await asyncio.wait_for(source.closed.wait(), 5)
        with pytest.raises(DeadlineError):
            await anext(numbers)

    asyncio.run(run())


def test_an_error_comes_after_what_was_said() -> None:
    async def run() -> None:
        source = Source(error=KeyError("late"))
        let(source, 2)
        numbers = within(60, source())
        assert await anext(numbers) == 0
        with pytest.raises(KeyError):
            await anext(numbers)

    asyncio.run(run())


def test_looking_at_the_first_loses_nothing() -> None:
    async def run() -> None:
        source = Source()
        let(source, 3)
        numbers = await peeked(source())
        assert [await anext(numbers) for _ in range(3)] == [0, 1, 2]
        await numbers.aclose()
        assert source.closed.is_set()

    asyncio.run(run())


@pytest.mark.parametrize("first", [True, False])
def test_a_stream_whose_client_goes_is_closed(first: bool) -> None:
    """Also before anything was sent, when sending could not tell."""

    async def run() -> None:
        source, gone = Source(), asyncio.Event()
        sent: list[dict[str, Any]] = []

        async def send(message: Any) -> None:
            sent.append(message)
            if message.get("body"):
                gone.set()

        async def receive() -> Any:
            await gone.wait()
            return {"type": "http.disconnect"}

        async def bodies() -> AsyncGenerator[bytes, None]:
            numbers = source()
            try:
                async for number in numbers:
                    yield event({"n": number})
            finally:
                await numbers.aclose()

        if first:
            let(source, 1)
        else:
            gone.set()
        await asyncio.wait_for(EventStream(bodies())({"type": "http"}, receive, send), 5)
        assert source.closed.is_set() or not first
        assert sum("body" in message for message in sent) == int(first)

    asyncio.run(run())


def test_work_ends_with_its_client() -> None:
    async def run() -> None:
        gone, ended = asyncio.Event(), asyncio.Event()

        async def receive() -> Any:
            await gone.wait()
            return {"type": "http.disconnect"}

        async def work() -> None:
            try:
                gone.set()
                await asyncio.Event().wait()
            finally:
                ended.set()

        request = Request({"type": "http", "method": "GET", "headers": []}, receive)
        with pytest.raises(ClientGoneError):
            await while_connected(request, work())
        assert ended.is_set()

    asyncio.run(run())


def test_an_event_is_one_block() -> None:
    assert event({"text": "a\nb"}, "token") == b'event: token\ndata: {"text": "a\\nb"}\n\n'
    assert event("[DONE]") == b"data: [DONE]\n\n"
