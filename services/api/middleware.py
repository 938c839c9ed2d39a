"""What every response has round it: a request id, security headers, a line in the log, figures."""

from __future__ import annotations

import asyncio
import logging
import re
import time
import uuid
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mplus_ray.services.api.metrics import ApiMetrics
from mplus_ray.services.api.problems.responses import describe, respond
from mplus_ray.services.api.streaming import ClientGoneError

_log = logging.getLogger(__name__)

_GIVEN_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_CLOSED_BY_CLIENT = 499  # as nginx logs it
_HEADERS = {
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cache-control": "no-store",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


class BrokenOffError(Exception):
    """A response that had begun cannot be finished; the connection is cut."""


class RequestMiddleware:
    """Middleware round everything else; errors that nobody foresaw end here.

    HEAD is answered like GET, without the body. A line of the log has the route's template, never
    a path, a text or a key.
    """

    def __init__(self, app: ASGIApp, figures: ApiMetrics) -> None:
        self._app = app
        self._figures = figures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["method"] == "HEAD":
            scope, receive, send = _as_get(scope, receive, send)
        state: dict[str, Any] = scope.setdefault("state", {})
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if _GIVEN_ID.fullmatch(given) else uuid.uuid4().hex
        state["request_id"] = request_id
        status, began = 0, time.perf_counter()

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = request_id
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._app(scope, receive, send_on)
        except (ClientDisconnect, ClientGoneError):
            return  # nobody is there to be answered
        except Exception as error:  # noqa: BLE001 - whatever it is, its sender gets an answer
            _log.error("a request failed", exc_info=error, extra={"request_id": request_id})
            if status:
                raise BrokenOffError("the response broke off") from None
            answer = respond(describe(error), scope["path"], request_id)
            await answer(scope, receive, send_on)
        finally:
            self._note(scope, status or _CLOSED_BY_CLIENT, time.perf_counter() - began)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        found = scope.get("route")
        route: str = getattr(found, "path_format", "") or getattr(found, "path", "(none)")
        method = scope.get("asked", scope["method"])
        self._figures.answered(route, method, status, seconds)
        caller = scope["state"].get("caller")
        said = {
            "request_id": scope["state"]["request_id"],
            "method": method,
            "route": route,
            "status": status,
            "seconds": round(seconds, 4),
            "tenant": caller.key.tenant if caller else None,
            **scope["state"].get("noted", {}),
        }
        _log.info("request", extra={name: value for name, value in said.items() if value})


def _as_get(scope: Scope, receive: Receive, send: Send) -> tuple[Scope, Receive, Send]:
    """HEAD as the GET that the routes know, of whose body nothing is sent or even made."""
    begun = asyncio.Event()

    async def receive_until_begun() -> Message:
        if begun.is_set():  # for who makes the body, the client is gone
            return {"type": "http.disconnect"}
        return await receive()

    async def send_head(message: Message) -> None:
        if message["type"] == "http.response.start":
            await send(message)
        elif message["type"] == "http.response.body" and not begun.is_set():
            begun.set()
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    return {**scope, "method": "GET", "asked": "HEAD"}, receive_until_begun, send_head
