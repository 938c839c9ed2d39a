"""A body is to come at some rate, in the time in which it is waited for."""

from __future__ import annotations

import asyncio

import pytest
from starlette.types import Message, Receive, Scope, Send

from mplus_ray.services.api.deps import Limits
from mplus_ray.services.api.limits.body_limit import BodyLimit, TooSlowError

_LIMITS = Limits(body_seconds=0.2, body_rate=1_000)
_SCOPE = {"type": "http", "path": "/v1/documents", "headers": []}


def read_all(app_pause: float, client_pause: float) -> int:
    """Twelve pieces of ten bytes; returns the bytes that arrived."""
    pieces = iter([b"x" * 10] * 12)
    read = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal read
        while (message := await receive())["more_body"]:
            read += len(message["body"])
            await asyncio.sleep(app_pause)

    async def receive() -> Message:
        await asyncio.sleep(client_pause)
        piece = next(pieces, None)
        return {"type": "http.request", "body": piece or b"", "more_body": piece is not None}

    async def send(message: Message) -> None:
        raise AssertionError

    asyncio.run(BodyLimit(app, _LIMITS)(dict(_SCOPE), receive, send))
    return read


def test_what_the_service_does_meanwhile_is_not_the_clients_time() -> None:
    assert read_all(app_pause=0.05, client_pause=0.0) == 120


def test_a_client_that_dawdles_is_cut_off() -> None:
    with pytest.raises(TooSlowError):
        read_all(app_pause=0.0, client_pause=0.05)
