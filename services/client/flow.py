"""One piece of code for two kinds of clients.

What a client does is a generator that yields steps (send a request, sleep, read a file) and is
handed their results, as httpx's own authentication flows are. A runner carries the steps out, one
at a time for `Client`, awaiting them for `AsyncClient`; so each operation is written once.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator, Iterator
from dataclasses import dataclass, field
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, cast, overload

import anyio
import anyio.to_thread
import httpx

P = ParamSpec("P")
T = TypeVar("T")


class Step(Protocol):
    """Something that takes time."""

    def now(self, runner: Sync) -> Any:
        """Do it, and return when it is done."""
        ...

    async def later(self, runner: Async) -> Any:
        """Do it while others go on."""
        ...


Flow = Generator[Step, Any, T]


@dataclass
class Sync:
    """Carries steps out one at a time.

    Attributes:
        http: what requests are sent with.
        sleep: waits so many seconds.
    """

    http: httpx.Client
    sleep: Callable[[float], None]

    def run(self, flow: Flow[T]) -> T:
        try:
            step = next(flow)
            while True:
                try:
                    result = step.now(self)
                except Exception as error:  # noqa: BLE001 - the flow judges it
                    step = flow.throw(error)
                else:
                    step = flow.send(result)
        except StopIteration as end:
            return cast(T, end.value)
        finally:
            flow.close()


@dataclass
class Async:
    """Carries steps out while others go on, under asyncio or trio.

    Attributes:
        http: what requests are sent with.
        sleep: waits so many seconds.
    """

    http: httpx.AsyncClient
    sleep: Callable[[float], Awaitable[None]]

    async def run(self, flow: Flow[T]) -> T:
        try:
            step = next(flow)
            while True:
                try:
                    result = await step.later(self)
                except Exception as error:  # noqa: BLE001 - the flow judges it
                    step = flow.throw(error)
                else:
                    step = flow.send(result)
        except StopIteration as end:
            return cast(T, end.value)
        finally:
            flow.close()


@dataclass(frozen=True)
class Sleep:
    """Wait.

    Attributes:
        seconds: how long.
    """

    seconds: float

    def now(self, runner: Sync) -> None:
        runner.sleep(self.seconds)

    async def later(self, runner: Async) -> None:
        await runner.sleep(self.seconds)


@dataclass(frozen=True)
class Blocking:
    """Work on files, which an asynchronous client does in a thread.

    Attributes:
        work: is called.
    """

    work: Callable[[], Any]

    def now(self, runner: Sync) -> Any:
        return self.work()

    async def later(self, runner: Async) -> Any:
        return await anyio.to_thread.run_sync(self.work)


@dataclass(frozen=True)
class Send:
    """One request, and its response.

    Attributes:
        method, path: of the request.
        options: of httpx's `build_request`, made anew for every try; an iterator as `content` is
            read in a thread by an asynchronous client.
        stream: whether the body of a success is left unread.
    """

    method: str
    path: str
    options: dict[str, Any] = field(default_factory=dict)
    stream: bool = False

    def now(self, runner: Sync) -> httpx.Response:
        request = runner.http.build_request(self.method, self.path, **self.options)
        answer = runner.http.send(request, stream=True)
        if not (self.stream and answer.is_success):
            try:
                answer.read()
            finally:
                answer.close()
        return answer

    async def later(self, runner: Async) -> httpx.Response:
        options = dict(self.options)
        if isinstance(options.get("content"), Iterator):
            options["content"] = _pieces(options["content"])
        request = runner.http.build_request(self.method, self.path, **options)
        answer = await runner.http.send(request, stream=True)
        if not (self.stream and answer.is_success):
            try:
                await answer.aread()
            finally:
                await answer.aclose()
        return answer


async def _pieces(source: Iterator[bytes]) -> AsyncIterator[bytes]:
    while (piece := await anyio.to_thread.run_sync(next, source, None)) is not None:
        yield piece


class operation(Generic[P, T]):  # noqa: N801 - a decorator
    """A method of both kinds of clients, written once as a flow: of `Client` it returns what the
    flow returns, of `AsyncClient` something to await.
    """

    def __init__(self, flow: Callable[Concatenate[Any, P], Flow[T]]) -> None:
        self._flow = flow
        self.__doc__ = flow.__doc__
        self.__signature__ = inspect.signature(flow)

    @overload
    def __get__(self, owner: Sync, kind: type) -> Callable[P, T]: ...

    @overload
    def __get__(self, owner: Async, kind: type) -> Callable[P, Coroutine[Any, Any, T]]: ...

    @overload
    def __get__(self, owner: None, kind: type) -> Callable[Concatenate[Any, P], Flow[T]]: ...

    def __get__(self, owner: Any, kind: type) -> Any:
        if owner is None:
            return self._flow
        flow = self._flow

        def method(*args: P.args, **kwargs: P.kwargs) -> Any:
            return owner.run(flow(owner, *args, **kwargs))

        return like(flow, method)


class paged(Generic[P, T]):  # noqa: N801 - a decorator
    """A method of both kinds of clients that gives the items of all pages, one after another.

    The flow takes `cursor` as its first argument, and returns a page's items with the next cursor.
    """

    def __init__(
        self, flow: Callable[Concatenate[Any, str | None, P], Flow[tuple[list[T], str | None]]]
    ) -> None:
        self._flow = flow
        self.__doc__ = flow.__doc__

    @overload
    def __get__(self, owner: Sync, kind: type) -> Callable[P, Iterator[T]]: ...

    @overload
    def __get__(self, owner: Async, kind: type) -> Callable[P, AsyncIterator[T]]: ...

    @overload
    def __get__(self, owner: None, kind: type) -> Callable[..., Any]: ...

    def __get__(self, owner: Any, kind: type) -> Any:
        if owner is None:
            return self._flow
        flow = self._flow

        def pages(*args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
            items, cursor = owner.run(flow(owner, None, *args, **kwargs))
            yield from items
            while cursor is not None:
                items, cursor = owner.run(flow(owner, cursor, *args, **kwargs))
                yield from items

        async def apages(*args: P.args, **kwargs: P.kwargs) -> AsyncIterator[T]:
            items, cursor = await owner.run(flow(owner, None, *args, **kwargs))
            for item in items:
                yield item
            while cursor is not None:
                items, cursor = await owner.run(flow(owner, cursor, *args, **kwargs))
                for item in items:
                    yield item

        return like(flow, pages if isinstance(owner, Sync) else apages)


def like(flow: Callable[..., Any], method: Callable[..., Any]) -> Callable[..., Any]:
    """A method with the name, the words and the arguments of its flow, for help() and editors."""
    method.__name__, method.__qualname__ = flow.__name__, flow.__qualname__
    method.__doc__ = flow.__doc__
    left_out = 2 if "cursor" in inspect.signature(flow).parameters else 1
    given = list(inspect.signature(flow).parameters.values())[left_out:]
    method.__signature__ = inspect.Signature(given)  # type: ignore[attr-defined]
    return method
