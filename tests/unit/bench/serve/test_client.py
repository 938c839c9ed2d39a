"""A client reads events and counters as they may be written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from mplus_ray.bench.serve.client import Asking, at_work, counters, events
from mplus_ray.bench.serve.samples import ServeBenchError
from mplus_ray.bench.serve.world import of_length


async def lines(text: str) -> AsyncIterator[str]:
    for line in text.split("\n"):
        yield line


def test_events_are_read_as_they_may_be_written() -> None:
    text = 'event: token\ndata: {"a":1}\n\n: ping\n\ndata:[1,\ndata: 2]\n\nevent: x\ndata: 3'

    async def read() -> list[tuple[str, Any]]:
        return [each async for each in events(lines(text))]

    # The last one has no end, so it is not complete.
    assert asyncio.run(read()) == [("token", {"a": 1}), ("message", [1, 2])]


def test_counters_are_summed_over_labels() -> None:
    text = '# HELP a_total x\na_total{reader="1"} 2\na_total{reader="2"} 3.0\nb 1e3\n'
    assert counters(text) == {"a_total": 5.0, "b": 1000.0}


def test_clients_beside_a_block_end_with_it() -> None:
    ended = []

    async def client() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(True)

    async def fail() -> None:
        async with at_work(client(), client()):
            await asyncio.sleep(0)
            raise ServeBenchError("it failed")

    with pytest.raises(ServeBenchError, match="it failed"):  # itself, not a group of one
        asyncio.run(fail())
    assert len(ended) == 2


def test_options_of_a_question_go_into_its_request() -> None:
    assert Asking("t", "k", "q?").options == {}
    assert of_length(5) == {"max_tokens": 5, "temperature": 100.0}
