"""Bodies of requests that come compressed, read no further than their limit once they are not."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable

from fastapi import HTTPException
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mplus_ray.services.api.limits.body_limit import TooLargeError
from mplus_ray.services.api.problems.responses import describe, respond

_PIECE = 1 << 20  # bytes that come out at a time
_IN_A_THREAD = 1 << 15  # compressed bytes from which on expanding holds others up
_CODINGS = ("gzip", "x-gzip", "deflate")


class CompressedBodyError(HTTPException):
    """A body is not what its `Content-Encoding` says. FastAPI lets only its own kind through
    from reading one."""

    def __init__(self, status: int, why: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(status, why, headers)


class Expander:
    """Compressed bytes in, expanded ones out, a bounded piece at a time.

    Args:
        coding: `gzip` (also several members one after another) or `deflate` (with zlib's header,
            as the standard has it, or without, as many send it).
    """

    def __init__(self, coding: str) -> None:
        self._gzip = coding != "deflate"
        self._coding = coding
        self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 16) if self._gzip else None
        self._pending = b""
        self._more = False  # comes out without another byte going in
        self._began = False

    def feed(self, data: bytes) -> None:
        """More of the body as it was sent."""
        self._pending += data

    @property
    def waiting(self) -> int:
        """Compressed bytes that are not expanded yet."""
        return len(self._pending)

    def next_piece(self) -> bytes:
        """What can be expanded now, at most a MiB; empty if more has to be fed before.

        Raises:
            CompressedBodyError: it is not of this coding.
        """
        while self._pending or self._more:
            inflate = self._current()
            try:
                piece = inflate.decompress(self._pending, _PIECE)
            except zlib.error:
                raise CompressedBodyError(
                    400, f"the body is not {self._coding}, which Content-Encoding says it is"
                ) from None
            self._began = True
            self._more = len(piece) == _PIECE
            self._pending = inflate.unconsumed_tail
            if inflate.eof:
                self._pending = inflate.unused_data
            if piece:
                return piece
            if not inflate.eof and not self._pending:
                return b""
        return b""

    def end(self) -> None:
        """
        Raises:
            CompressedBodyError: the body breaks off.
        """
        if self._began and self._inflate is not None and not self._inflate.eof:
            raise CompressedBodyError(400, f"the {self._coding} of the body breaks off")

    def _current(self) -> zlib._Decompress:
        if self._inflate is None:  # no compressor begins with these bits without zlib's header
            zlibs = self._pending[0] & 0x0F == 8
            self._inflate = zlib.decompressobj(zlib.MAX_WBITS if zlibs else -zlib.MAX_WBITS)
        if self._inflate.eof and self._pending:
            if not self._gzip:
                raise CompressedBodyError(400, "something follows the deflate of the body")
            self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 16)
        return self._inflate


class CompressedBody:
    """Middleware that hands bodies on as if they had not been compressed.

    Args:
        most: how many expanded bytes the body of a request may have.
    """

    def __init__(self, app: ASGIApp, most: Callable[[Scope], int]) -> None:
        self._app = app
        self._most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        coding = _coding(scope) if scope["type"] == "http" else ""
        if not coding:
            await self._app(scope, receive, send)
            return
        if coding not in _CODINGS:
            error = CompressedBodyError(
                415,
                "bodies may be compressed with gzip or deflate, once; send it with one of them, "
                "or as it is",
                {"accept-encoding": "gzip, deflate"},
            )
            answer = respond(describe(error), scope["path"], scope["state"]["request_id"])
            await answer(scope, receive, send)
            return
        plain = [
            (name, value)
            for name, value in scope["headers"]
            if name.lower() not in (b"content-encoding", b"content-length")
        ]
        expanded = _Expanded(receive, Expander(coding), self._most(scope))
        await self._app({**scope, "headers": plain}, expanded.receive, send)


class _Expanded:
    """The messages of a body, expanded."""

    def __init__(self, receive: Receive, expander: Expander, most: int) -> None:
        self._receive = receive
        self._expander = expander
        self._most = most
        self._size = 0
        self._whole = False  # all of it has been received
        self._done = False  # and handed on

    async def receive(self) -> Message:
        if self._done:  # what follows is the client's going away
            return await self._receive()
        while not (piece := await self._piece()):
            if self._whole:
                self._expander.end()
                self._done = True
                return {"type": "http.request", "body": b"", "more_body": False}
            message = await self._receive()
            if message["type"] != "http.request":
                return message
            self._expander.feed(message.get("body", b""))
            self._whole = not message.get("more_body", False)
        self._size += len(piece)
        if self._size > self._most:
            raise TooLargeError(self._most)
        return {"type": "http.request", "body": piece, "more_body": True}

    async def _piece(self) -> bytes:
        if self._expander.waiting < _IN_A_THREAD:
            return self._expander.next_piece()
        return await asyncio.to_thread(self._expander.next_piece)


def _coding(scope: Scope) -> str:
    """Of the body, in lower case; empty if there is none."""
    named = ",".join(Headers(scope=scope).getlist("content-encoding"))
    codings = [each.strip().lower() for each in named.split(",")]
    return ",".join(each for each in codings if each not in ("", "identity"))
