"""Answers that come piece by piece, as server-sent events."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from types import TracebackType
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, Self, TypeVar, overload

import httpx

from .errors import IncompleteError, UnreachableError, raise_event
from .flow import Async, Flow, Sync, like
from .models import Answer, ChatChunk

P = ParamSpec("P")
T = TypeVar("T")


class Events(Protocol[T]):
    """What the events of a stream say."""

    result: T | None

    def told(self, name: str, data: str, request_id: str | None) -> str:
        """The text of an event; empty: it has none.

        Raises:
            ApiError: it says that something went wrong.
        """
        ...


class AnswerEvents:
    """Of `/v1/query`.

    Attributes:
        result: the whole answer, once it is there.
    """

    def __init__(self) -> None:
        self.result: Answer | None = None

    def told(self, name: str, data: str, request_id: str | None) -> str:
        said = json.loads(data)
        if name == "error":
            raise_event(said, request_id)
        if name == "answer":
            self.result = Answer.model_validate(said)
            self.result._request_id = request_id
            return ""
        return str(said["text"]) if name == "token" else ""


class ChatEvents:
    """Of `/v1/chat/completions`.

    Attributes:
        result: the last chunk with a choice, which has `mplus`, once it is there.
        chunks: all of them so far.
    """

    def __init__(self) -> None:
        self.result: ChatChunk | None = None
        self.chunks: list[ChatChunk] = []

    def told(self, name: str, data: str, request_id: str | None) -> str:
        if data == "[DONE]":
            return ""
        said = json.loads(data)
        if "error" in said:
            raise_event(said, request_id)
        chunk = ChatChunk.model_validate(said)
        self.chunks.append(chunk)
        if chunk.mplus is not None:
            self.result = chunk
            chunk._request_id = request_id
        return (chunk.choices[0].delta.content or "") if chunk.choices else ""


class _Lines:
    """Events of lines."""

    def __init__(self) -> None:
        self._name, self._data = "", list[str]()

    def read(self, line: str) -> tuple[str, str] | None:
        """The (name, data) that an empty line ends."""
        if line:
            field, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if field == "event":
                self._name = value
            elif field == "data":
                self._data.append(value)
            return None
        name, data = self._name, "\n".join(self._data)
        self._name, self._data = "", []
        return (name, data) if data else None


class _Opened(Generic[T]):
    """What both kinds of streams have."""

    def __init__(self, events: Events[T]) -> None:
        self.events = events
        self._answer: httpx.Response | None = None

    @property
    def request_id(self) -> str | None:
        """Of the response, once it began."""
        return None if self._answer is None else self._answer.headers.get("x-request-id")

    @property
    def result(self) -> T:
        """The whole, when all pieces were read. Its text stands in the place of theirs: an answer
        may have been withheld.

        Raises:
            IncompleteError: they were not.
        """
        if self.events.result is None:
            raise IncompleteError("the stream was not read to its end", request_id=self.request_id)
        return self.events.result

    def _text(self, lines: _Lines, line: str) -> str:
        event = lines.read(line)
        return "" if event is None else self.events.told(*event, self.request_id)

    def _broken(self, error: httpx.TransportError) -> UnreachableError:
        return UnreachableError(f"the stream broke off: {error!r}", request_id=self.request_id)


class Stream(_Opened[T]):
    """Texts as they come; `result` afterwards. To leave early, close it or use it as a context."""

    def __init__(self, owner: Sync, flow: Flow[httpx.Response], events: Events[T]) -> None:
        super().__init__(events)
        self._owner, self._flow = owner, flow
        self._texts = self._read()

    def __enter__(self) -> Self:
        self._open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[str]:
        return self._texts

    def close(self) -> None:
        """Leave: the service stops at once."""
        if self._answer is not None:
            self._answer.close()

    def _open(self) -> httpx.Response:
        if self._answer is None:
            self._answer = self._owner.run(self._flow)
        return self._answer

    def _read(self) -> Iterator[str]:
        answer, lines = self._open(), _Lines()
        try:
            for line in answer.iter_lines():
                if text := self._text(lines, line):
                    yield text
        except httpx.TransportError as error:
            raise self._broken(error) from error
        finally:
            answer.close()
        _ = self.result  # or it was cut short


class AsyncStream(_Opened[T]):
    """Texts as they come; `result` afterwards. To leave early, close it or use it as a context."""

    def __init__(self, owner: Async, flow: Flow[httpx.Response], events: Events[T]) -> None:
        super().__init__(events)
        self._owner, self._flow = owner, flow
        self._texts = self._read()

    async def __aenter__(self) -> Self:
        await self._open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def __aiter__(self) -> AsyncIterator[str]:
        return self._texts

    async def close(self) -> None:
        """Leave: the service stops at once."""
        if self._answer is not None:
            await self._answer.aclose()

    async def _open(self) -> httpx.Response:
        if self._answer is None:
            self._answer = await self._owner.run(self._flow)
        return self._answer

    async def _read(self) -> AsyncIterator[str]:
        answer, lines = await self._open(), _Lines()
        try:
            async for line in answer.aiter_lines():
                if text := self._text(lines, line):
                    yield text
        except httpx.TransportError as error:
            raise self._broken(error) from error
        finally:
            await answer.aclose()
        _ = self.result  # or it was cut short


class streamed(Generic[P, T]):  # noqa: N801 - a decorator
    """A method of both kinds of clients that gives a `Stream` or an `AsyncStream`.

    Its flow gets the events first and returns the response that they are read from.
    """

    def __init__(
        self,
        events: Callable[[], Events[T]],
        flow: Callable[Concatenate[Any, P], Flow[httpx.Response]],
    ) -> None:
        self._events, self._flow = events, flow
        self.__doc__ = flow.__doc__

    @overload
    def __get__(self, owner: Sync, kind: type) -> Callable[P, Stream[T]]: ...

    @overload
    def __get__(self, owner: Async, kind: type) -> Callable[P, AsyncStream[T]]: ...

    @overload
    def __get__(self, owner: None, kind: type) -> Callable[..., Any]: ...

    def __get__(self, owner: Any, kind: type) -> Any:
        if owner is None:
            return self._flow
        stream: Any = Stream if isinstance(owner, Sync) else AsyncStream

        def method(*args: P.args, **kwargs: P.kwargs) -> Any:
            return stream(owner, self._flow(owner, *args, **kwargs), self._events())

        return like(self._flow, method)
