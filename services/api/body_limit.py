"""How much of a body is read: never more than its route takes, whatever its headers say."""

from __future__ import annotations

from fastapi import HTTPException
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mplus_ray.services.api.deps import Limits
from mplus_ray.services.api.problems import describe, respond

_STREAMED = ("multipart/form-data", "application/x-ndjson")


class TooLargeError(HTTPException):
    """A body goes beyond its limit. FastAPI lets only its own kind through from reading one."""

    def __init__(self, most: int) -> None:
        super().__init__(413, f"the body is larger than {most:,} bytes; send less at once")


class BodyLimit:
    """Middleware that counts the bytes of a body as they come, and stops at the limit."""

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self._app = app
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        most = self._most(scope)
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isdecimal() and int(declared) > most:
            request_id = scope["state"]["request_id"]
            await respond(describe(TooLargeError(most)), scope["path"], request_id)(
                scope, receive, send
            )
            return
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            if message["type"] == "http.request":
                read += len(message.get("body", b""))
                if read > most:
                    raise TooLargeError(most)
            return message

        await self._app(scope, counted, send)

    def _most(self, scope: Scope) -> int:
        if scope["path"] != "/v1/documents":
            return self._limits.body_bytes
        kind = Headers(scope=scope).get("content-type", "").lower()
        if kind.startswith(_STREAMED):
            return self._limits.upload_bytes
        return self._limits.json_bytes
