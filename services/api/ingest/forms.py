"""Multipart forms that came to their end."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager

from fastapi import HTTPException, Request
from starlette.datastructures import FormData, Headers
from starlette.formparsers import MultiPartException, MultiPartParser

_FIELDS = 16  # that are not files


class _WholeForm(MultiPartParser):
    """Starlette's own takes a form that breaks off for one without its last file."""

    def __init__(
        self, headers: Headers, stream: AsyncGenerator[bytes, None], most_files: int
    ) -> None:
        super().__init__(
            headers, self._to_the_end(stream), max_files=most_files, max_fields=_FIELDS
        )
        self._ended = False

    def on_end(self) -> None:
        self._ended = True

    async def _to_the_end(self, stream: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
        async for piece in stream:
            yield piece
        if not self._ended:
            raise MultiPartException("the form breaks off")


@asynccontextmanager
async def form_of(request: Request, most_files: int) -> AsyncGenerator[FormData, None]:
    """The form that a request brings; its files are closed afterwards.

    Raises:
        HTTPException: it is none, breaks off, or has too many parts.
    """
    async with aclosing(request.stream()) as stream:
        try:
            form = await _WholeForm(request.headers, stream, most_files).parse()
        except MultiPartException as error:
            raise HTTPException(400, error.message) from None
    try:
        yield form
    finally:
        await form.close()
