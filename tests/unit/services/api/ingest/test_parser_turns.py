"""Tenants take turns at parsers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from mplus_ray.services.api.ingest.parser_turns import ParserTurns

SECONDS = 30.0


class Files:
    """Files that are parsed until somebody lets them end."""

    def __init__(self, turns: ParserTurns) -> None:
        self._turns = turns
        self.begun: list[str] = []
        self._ends: dict[str, asyncio.Event] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def hand_in(self, name: str) -> None:
        """A file of the tenant that its name begins with."""
        self._ends[name] = asyncio.Event()
        self._tasks[name] = asyncio.create_task(self._parse(name))
        await asyncio.sleep(0)

    async def end(self, name: str) -> None:
        self._ends[name].set()
        await self._tasks[name]
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def withdraw(self, name: str) -> None:
        """Its client goes away."""
        self._tasks[name].cancel()
        await asyncio.gather(self._tasks[name], return_exceptions=True)

    async def end_all(self) -> None:
        for end in self._ends.values():
            end.set()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _parse(self, name: str) -> None:
        async with self._turns.turn(name[0], SECONDS):
            self.begun.append(name)
            await self._ends[name].wait()


def run(parsers: int, story: Callable[[Files], Awaitable[Any]]) -> None:
    async def told() -> None:
        files = Files(ParserTurns(parsers))
        await story(files)
        await files.end_all()

    asyncio.run(told())


def test_one_parser_is_left_for_others() -> None:
    async def story(files: Files) -> None:
        for name in ("a1", "a2", "a3", "b1"):
            await files.hand_in(name)
        await asyncio.sleep(0)
        assert files.begun == ["a1", "b1"]
        await files.end("b1")
        assert files.begun == ["a1", "b1"]
        await files.end("a1")
        assert files.begun == ["a1", "b1", "a2"]

    run(2, story)


def test_the_tenant_with_the_fewest_is_next() -> None:
    async def story(files: Files) -> None:
        for name in ("a1", "a2", "c1", "a3", "a4", "b1"):
            await files.hand_in(name)
        await asyncio.sleep(0)
        assert files.begun == ["a1", "a2", "c1"]
        await files.end("c1")
        assert files.begun[3:] == ["b1"]

    run(3, story)


def test_a_single_parser_is_for_everybody() -> None:
    async def story(files: Files) -> None:
        for name in ("a1", "a2", "b1"):
            await files.hand_in(name)
        await asyncio.sleep(0)
        await files.end("a1")
        await files.end("a2")
        assert files.begun == ["a1", "a2", "b1"]

    run(1, story)


def test_who_goes_away_takes_no_turn() -> None:
    async def story(files: Files) -> None:
        for name in ("a1", "b1", "c1", "d1"):
            await files.hand_in(name)
        await asyncio.sleep(0)
        await files.withdraw("c1")
        await files.withdraw("a1")
        await asyncio.sleep(0)
        assert files.begun == ["a1", "b1", "d1"]

    run(2, story)


def test_nobody_waits_for_ever() -> None:
    async def story() -> None:
        turns = ParserTurns(1)
        async with turns.turn("a", SECONDS):
            with pytest.raises(TimeoutError):
                async with turns.turn("b", 0.01):
                    pass
        async with turns.turn("b", SECONDS):
            pass

    asyncio.run(story())
