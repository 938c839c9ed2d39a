"""How much of a body is read, and how slowly: never more than its route takes, whatever its
headers say, and not from a client that sends next to nothing."""

from __future__ import annotations

import asyncio
import time

from fastapi import HTTPException
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mplus_ray.services.api.deps import Limits
from mplus_ray.services.api.problems.responses import describe, respond

IMPORT = "/v1/tenants/import"  # of an archive
_STREAMED = ("multipart/form-data", "application/x-ndjson")


class TooLargeError(HTTPException):
    """A body goes beyond its limit. FastAPI lets only its own kind through from reading one."""

    def __init__(self, most: int) -> None:
        super().__init__(413, f"the body is larger than {most:,} bytes; send less at once")


class TooSlowError(HTTPException):
    """A body does not come on; its sender holds what others need."""

    def __init__(self) -> None:
        super().__init__(
            408,
            "the body came too slowly; send it again, in smaller parts if the line is slow",
            {"connection": "close"},
        )


class BodyLimit:
    """Middleware that counts the bytes of a body as they come, and stops at the limits."""

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self._app = app
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        most = most_bytes(self._limits, scope)
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isdecimal() and int(declared) > most:
            request_id = scope["state"]["request_id"]
            await respond(describe(TooLargeError(most)), scope["path"], request_id)(
                scope, receive, send
            )
            return
        read, whole = 0, False
        waited = 0.0  # for the client; what is done meanwhile is not its time
        seconds, rate = self._limits.body_seconds, self._limits.body_rate

        async def counted() -> Message:
            nonlocal read, whole, waited
            if whole:  # what follows is the client's going away, which may take long
                return await receive()
            began = time.monotonic()
            try:
                async with asyncio.timeout(seconds):
                    message = await receive()
            except TimeoutError:
                raise TooSlowError from None
            waited += time.monotonic() - began
            if message["type"] == "http.request":
                read += len(message.get("body", b""))
                whole = not message.get("more_body", False)
                if read > most:
                    raise TooLargeError(most)
                if not whole and waited > seconds + read / rate:
                    raise TooSlowError
            return message

        await self._app(scope, counted, send)


def most_bytes(limits: Limits, scope: Scope) -> int:
    """How large the body of a request may be."""
    if scope["path"] == IMPORT:
        return limits.upload_bytes
    if scope["path"] != "/v1/documents":
        return limits.body_bytes
    kind = Headers(scope=scope).get("content-type", "").lower()
    return limits.upload_bytes if kind.startswith(_STREAMED) else limits.json_bytes
