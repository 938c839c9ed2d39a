"""The end of a service: what is under way is finished, or answered."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from mplus_ray.services.serving.draining import Draining

Handler = Callable[[Send], Awaitable[None]]


async def begin(send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})


async def end(send: Send) -> None:
    await send({"type": "http.response.body", "body": b"done"})


class Requests:
    """An app whose requests do what `handler` says, and what they were sent."""

    def __init__(self, handler: Handler) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await handler(send)

        self.app = Draining(app)

    def request(self, path: str = "/v1/query") -> tuple[asyncio.Task[None], list[Message]]:
        sent: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request"}

        async def send(message: Message) -> None:
            sent.append(message)

        async def run() -> None:
            await self.app({"type": "http", "path": path}, receive, send)

        return asyncio.create_task(run()), sent


def problem(sent: list[Message]) -> dict[str, Any]:
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert (b"content-type", b"application/problem+json") in sent[0]["headers"]
    found: dict[str, Any] = json.loads(sent[1]["body"])
    return found


def test_what_is_under_way_is_finished_and_nothing_more_is_taken() -> None:
    async def run() -> None:
        going_on = asyncio.Event()

        async def handler(send: Send) -> None:
            await going_on.wait()
            await begin(send)
            await end(send)

        requests = Requests(handler)
        task, sent = requests.request()
        await asyncio.sleep(0)
        draining = asyncio.create_task(requests.app.drain(30.0))
        await asyncio.sleep(0)
        late, refused = requests.request()
        await late
        assert problem(refused)["status"] == 503
        assert (b"retry-after", b"5") in refused[0]["headers"]
        late, refused = requests.request("/v1/chat/completions")
        await late
        assert (b"content-type", b"application/json") in refused[0]["headers"]
        assert json.loads(refused[1]["body"])["error"]["code"] == "stopping"
        assert not draining.done()
        going_on.set()
        assert await draining == 0
        await task
        assert sent[-1]["body"] == b"done"

    asyncio.run(run())


def test_the_request_id_is_left_to_serve() -> None:
    async def begin_with_an_id(send: Send) -> None:
        headers = [(b"X-Request-ID", b"a"), (b"content-type", b"text/plain")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await end(send)

    async def run() -> list[Message]:
        task, sent = Requests(begin_with_an_id).request()
        await task
        return sent

    start, _ = asyncio.run(run())
    assert start["headers"] == [(b"content-type", b"text/plain")]


def test_what_takes_too_long_is_answered_with_an_error() -> None:
    async def run() -> None:
        async def handler(send: Send) -> None:
            await asyncio.Event().wait()

        requests = Requests(handler)
        task, sent = requests.request()
        await asyncio.sleep(0)
        assert await requests.app.drain(0.0) == 1
        await task
        assert problem(sent)["status"] == 503

    asyncio.run(run())


def test_a_response_that_has_begun_is_cut_off() -> None:
    async def run() -> None:
        async def handler(send: Send) -> None:
            await begin(send)
            await asyncio.Event().wait()

        requests = Requests(handler)
        task, sent = requests.request()
        await asyncio.sleep(0)
        assert await requests.app.drain(0.0) == 1
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(sent) == 1

    asyncio.run(run())


def test_a_client_that_goes_away_is_no_end() -> None:
    async def run() -> None:
        async def handler(send: Send) -> None:
            await asyncio.Event().wait()

        requests = Requests(handler)
        task, sent = requests.request()
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not sent
        assert await requests.app.drain(30.0) == 0

    asyncio.run(run())
