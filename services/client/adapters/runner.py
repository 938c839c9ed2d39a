"""One client behind an adapter whose methods are called in both ways."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import anyio.to_thread

from ..client import AsyncClient, Client, Operations
from ..flow import Flow
from ..models import Document, TakenIn

T = TypeVar("T")

_LONGEST_FILTER = 3000  # characters of a URL's filter, of 4,000 that the service takes
TAG = 200  # characters of one, at most


class Runner:
    """Carries flows out with the client that there is.

    With a `Client` asynchronous calls work in threads; with an `AsyncClient` they need none, and
    calls that are not awaited are refused.
    """

    def __init__(self, client: Client | AsyncClient) -> None:
        self.client = client

    def run(self, flow: Flow[T]) -> T:
        """What a flow returns.

        Raises:
            TypeError: there is an `AsyncClient` only.
        """
        if isinstance(self.client, AsyncClient):
            flow.close()
            raise TypeError("this adapter has an AsyncClient: await its methods, or give a Client")
        return self.client.run(flow)

    async def arun(self, flow: Flow[T]) -> T:
        """What a flow returns."""
        if isinstance(self.client, AsyncClient):
            return await self.client.run(flow)
        return await anyio.to_thread.run_sync(self.client.run, flow)


def described(client: Operations, ids: Iterable[str]) -> Flow[dict[str, Document]]:
    """Documents by their ids, without their texts; those that are not there are left out."""
    found: dict[str, Document] = {}
    for part in _parts(dict.fromkeys(ids)):
        for document in (yield from every(client, {"ids": part})):
            found[document.id] = document
    return found


def every(client: Operations, wanted: dict[str, Any]) -> Flow[list[Document]]:
    """All documents that a filter leaves and nobody forgot, in the order in which they came."""
    found: list[Document] = []
    cursor: str | None = None
    while True:
        page, cursor = yield from Operations.documents(client, cursor, filter=wanted)
        found += [document for document in page if document.state != "forgetting"]
        if cursor is None:
            return found


def forget(client: Operations, ids: Iterable[str]) -> Flow[None]:
    """Have documents forgotten that may be there or not."""
    for part in _parts(ids):
        yield from Operations.delete_documents(client, {"ids": part})


def all_taken(taken: TakenIn) -> TakenIn:
    """What was taken in, if it is all.

    Raises:
        ValueError: some of it was refused.
    """
    if taken.failed:
        reasons = "; ".join(one.reason for one in taken.failed[:3])
        raise ValueError(f"{len(taken.failed)} of the documents were refused: {reasons}")
    return taken


def _parts(ids: Iterable[str]) -> Iterator[list[str]]:
    """As many at a time as fit into a URL."""
    part: list[str] = []
    length = 0
    for name in ids:
        size = len(json.dumps(name, ensure_ascii=False)) + 2
        if part and length + size > _LONGEST_FILTER:
            yield part
            part, length = [], 0
        part.append(name)
        length += size
    if part:
        yield part
