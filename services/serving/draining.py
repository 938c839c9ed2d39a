"""An ASGI app that can be brought to its end: what is under way is finished or answered."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mplus_ray.services.api.problems.openai_paths import speaks_openai

_LAST_SECONDS = 1.0  # for saying that it is over


class Draining:
    """Passes everything on, until `drain`; without the request's id, which Serve adds itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._open: set[asyncio.Task[Any]] = set()
        self._closing = False
        self._cut: set[asyncio.Task[Any]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if self._closing:
            await _refuse(scope["path"], send)
            return
        task, started = asyncio.current_task(), False
        assert task is not None

        async def sending(message: Message) -> None:
            nonlocal started
            started = True
            await send(_without_request_id(message))

        self._open.add(task)
        try:
            await self._app(scope, receive, sending)
        except asyncio.CancelledError:
            if task not in self._cut or started:
                raise
            task.uncancel()
            await _refuse(scope["path"], send)
        finally:
            self._open.discard(task)
            self._cut.discard(task)

    async def drain(self, seconds: float) -> int:
        """Take no more requests, wait for those under way, and cut short what lasts longer.

        Returns how many were cut.
        """
        self._closing = True
        if self._open:
            await asyncio.wait(set(self._open), timeout=seconds)
        self._cut = set(self._open)
        cut = len(self._cut)
        for task in self._cut:
            task.cancel()
        if self._open:
            await asyncio.wait(set(self._open), timeout=_LAST_SECONDS)
        return cut


def _without_request_id(message: Message) -> Message:
    """Serve appends the header `x-request-id` to whatever an app has said, so it would be there
    twice; an id that a client gives and that can be one is the same for both.
    """
    if message["type"] != "http.response.start":
        return message
    kept = [pair for pair in message.get("headers", ()) if pair[0].lower() != b"x-request-id"]
    return {**message, "headers": kept}


async def _refuse(path: str, send: Send) -> None:
    problem = {
        "type": "about:blank",
        "title": "Service Unavailable",
        "status": 503,
        "detail": "the service is stopping; ask again when it is back",
    }
    openai = {
        "message": problem["detail"],
        "type": "server_error",
        "param": None,
        "code": "stopping",
    }
    spoken = speaks_openai(path)
    kind = b"application/json" if spoken else b"application/problem+json"
    headers = [
        (b"content-type", kind),
        (b"retry-after", b"5"),
        (b"connection", b"close"),
    ]
    body = json.dumps({"error": openai} if spoken else problem).encode()
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": body})
