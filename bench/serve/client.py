"""Questions and documents over HTTP, many at once, as a client would send them."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import httpx

from mplus_ray.bench.serve.samples import Load, ServeBenchError, TimedQuestion

_SECONDS = 150.0  # longer than the service takes for any answer
_CONNECTIONS = 256


@dataclass(frozen=True)
class Asking:
    """A question to be asked.

    Attributes:
        tenant, key: whom, and by which key.
        options: of the request, besides `question` and `stream`.
        question: its words.
    """

    tenant: str
    key: str
    question: str
    options: dict[str, Any] = field(default_factory=dict)


_Way = Callable[[Asking, float], Coroutine[Any, Any, TimedQuestion]]


class Client:
    """Of one service. What fails while it is asked is told in the sample, not raised."""

    def __init__(self, url: str, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._http = httpx.AsyncClient(
            base_url=url,
            timeout=_SECONDS,
            limits=httpx.Limits(
                max_connections=_CONNECTIONS, max_keepalive_connections=_CONNECTIONS
            ),
            trust_env=False,  # all of it stays on this machine
            transport=transport,
        )

    async def ask(self, asking: Asking) -> TimedQuestion:
        """One question, streamed."""
        return await self._told(self._stream, asking)

    async def ask_whole(self, asking: Asking) -> TimedQuestion:
        """One question, whose answer comes all at once."""
        return await self._told(self._post, asking)

    async def drive(self, askings: Sequence[Asking], concurrency: int) -> Load:
        """All of them, so many at a time."""
        waiting = iter(askings)

        async def work() -> list[TimedQuestion]:
            return [await self.ask(asking) for asking in waiting]

        began = time.perf_counter()
        parts = await asyncio.gather(*(work() for _ in range(concurrency)))
        return Load([sample for part in parts for sample in part], time.perf_counter() - began)

    async def hand_in(self, key: str, text: str, wait: float = 0.0) -> int:
        """One document; returns the `min_step` of its answer.

        Args:
            wait: seconds, at most, until questions can draw on it.

        Raises:
            ServeBenchError: it was not taken, and why.
        """
        try:
            response = await self._http.post(
                "/v1/documents",
                params={"wait": f"{wait:g}"},
                json={"text": text},
                headers=_bearer(key),
            )
            if response.status_code not in (200, 202):
                raise ServeBenchError(_problem(response))
            return int(response.json()["min_step"])
        except (httpx.HTTPError, ValueError, KeyError) as error:
            raise ServeBenchError(f"{type(error).__name__}: {error}") from error

    async def read(self, path: str, key: str = "") -> httpx.Response:
        """
        Raises:
            ServeBenchError: it is not answered.
        """
        try:
            response = await self._http.get(path, headers=_bearer(key) if key else {})
        except httpx.HTTPError as error:
            raise ServeBenchError(f"{path}: {type(error).__name__}: {error}") from error
        if response.status_code != 200:
            raise ServeBenchError(f"{path}: {_problem(response)}")
        return response

    async def _told(self, way: _Way, asking: Asking) -> TimedQuestion:
        began = time.perf_counter()
        try:
            return await way(asking, began)
        except (httpx.HTTPError, ValueError, KeyError) as error:
            return _failed(began, f"{type(error).__name__}: {error}")

    async def _post(self, asking: Asking, began: float) -> TimedQuestion:
        body = {"question": asking.question, **asking.options}
        response = await self._http.post("/v1/query", json=body, headers=_bearer(asking.key))
        if response.status_code != 200:
            return _failed(began, _problem(response))
        data, now = response.json(), time.perf_counter()
        tokens = data["usage"]["completion_tokens"]
        return TimedQuestion(began, now, tokens=tokens, step=data["step"])

    async def _stream(self, asking: Asking, began: float) -> TimedQuestion:
        body = {"question": asking.question, "stream": True, **asking.options}
        first = last = None
        told: TimedQuestion | None = None
        async with self._http.stream(
            "POST", "/v1/query", json=body, headers=_bearer(asking.key)
        ) as response:
            if response.status_code != 200:
                await response.aread()
                return _failed(began, _problem(response))
            async with aclosing(events(response.aiter_lines())) as said:
                async for name, data in said:  # to its end, so that the connection is kept
                    now = time.perf_counter()
                    if name == "token":
                        first, last = first or now, now
                    elif name == "answer":
                        tokens = data["usage"]["completion_tokens"]
                        told = TimedQuestion(began, now, first, last, tokens, data["step"])
                    elif name == "error":
                        told = _failed(began, f"{data['status']}: {data['detail']}")
        return told or _failed(began, "the stream ended without an answer")

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._http.__aexit__(kind, error, trace)


@asynccontextmanager
async def at_work(*clients: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Clients that go on beside the block, which says at its end that they are to stop.

    If it fails, they are stopped where they are.
    """
    tasks = [asyncio.create_task(client) for client in clients]
    try:
        yield
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def events(lines: AsyncIterator[str]) -> AsyncGenerator[tuple[str, Any], None]:
    """(name, data) of server-sent events whose data are JSON.

    Raises:
        ValueError: they are not.
    """
    name, data = "message", []
    async for line in lines:
        field_name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field_name == "event":
            name = value
        elif field_name == "data":
            data.append(value)
        elif not line and data:
            yield name, json.loads("\n".join(data))
            name, data = "message", []


def counters(text: str) -> dict[str, float]:
    """What /metrics says, summed over labels."""
    found: dict[str, float] = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            series, _, value = line.rpartition(" ")
            name = series.partition("{")[0]
            found[name] = found.get(name, 0.0) + float(value)
    return found


def _bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def _problem(response: httpx.Response) -> str:
    """Status and reason, short."""
    try:
        return f"{response.status_code}: {response.json()['detail']}"
    except (ValueError, KeyError, TypeError):
        return f"{response.status_code}: {response.text[:200]}"


def _failed(began: float, error: str) -> TimedQuestion:
    return TimedQuestion(began, time.perf_counter(), error=error)
