"""Uploaded files to documents, in processes that may be killed.

A file can make a parser run for ever, take all memory or crash; then its process ends, the file
is one that could not be read, and the next one gets a new process.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing, suppress
from pathlib import Path
from typing import Any

from mplus_ray.model.errors import DocumentError, OverloadedError
from mplus_ray.pipeline.ledger.tenant import Tenant
from mplus_ray.pipeline.parsing.child import LENGTH, record_of_frame
from mplus_ray.pipeline.parsing.isolated import MODULE, child_environment, why_ended
from mplus_ray.pipeline.parsing.records.record import Record
from mplus_ray.pipeline.parsing.refusals import Refusal
from mplus_ray.services.api.deps import Limits
from mplus_ray.services.api.ingest.parser_turns import ParserTurns
from mplus_ray.services.api.limits.rate_limits import Meter

_BYTES_PER_CHARACTER = 12  # of JSON: \ud83d\ude00
_MORE = 1 << 20  # of a frame, for all that is not text
_START_SECONDS = 60.0
_PATIENCE = 30.0  # seconds to wait for a free process
_STUCK = 10  # times its own seconds that a process may take on a busy machine


class _DiedError(Exception):
    """The process ended in the middle."""


class _Child:
    """One process and its pipes."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, most_bytes: int) -> _Child:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            MODULE,
            str(most_bytes),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,  # what it would say may quote the file
            env=child_environment(),
        )
        child = cls(process)
        try:
            async with asyncio.timeout(_START_SECONDS):
                await child.frame(0)  # importing the parsers is not the file's time
        except BaseException:
            await child.end()
            raise
        return child

    async def order(self, path: Path, name: str, most: int, seconds: float) -> None:
        assert self._process.stdin is not None
        order = {"path": str(path), "name": name, "most": most, "seconds": seconds, "ocr": None}
        line = json.dumps(order)
        self._process.stdin.write(line.encode() + b"\n")
        with suppress(ConnectionError):  # its end shows when the answer is read
            await self._process.stdin.drain()

    async def frame(self, most: int) -> dict[str, Any]:
        assert self._process.stdout is not None
        try:
            (size,) = LENGTH.unpack(await self._process.stdout.readexactly(LENGTH.size))
            if size > most * _BYTES_PER_CHARACTER + _MORE:
                raise _DiedError
            frame: dict[str, Any] = json.loads(await self._process.stdout.readexactly(size))
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise _DiedError from error
        return frame

    async def end(self) -> int:
        """Returns how it ended, if it did so by itself; negative: by that signal."""
        with suppress(ProcessLookupError):
            self._process.kill()
        code = await self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        return code


class Parsers:
    """As many processes as the limits allow, made when they are needed."""

    def __init__(self, limits: Limits, meter: Meter) -> None:
        self._limits = limits
        self._turns = ParserTurns(limits.parsers)
        self._meter = meter
        self._idle: list[_Child] = []

    async def records(self, path: Path, name: str, tenant: Tenant) -> AsyncGenerator[Record, None]:
        """The documents of a file; what is wrong with the file is a record without one.

        Raises:
            OverloadedError: all processes are busy for long.
            RateLimitedError: the tenant's files took all the time that it may have.
        """
        self._meter.check_parsing(tenant)
        async with AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(self._turns.turn(tenant.family, _PATIENCE))
            except TimeoutError:
                raise OverloadedError(
                    "too many files are being parsed; send this one again later", _PATIENCE
                ) from None
            async with aclosing(self._parsed(path, name, tenant)) as records:
                async for record in records:
                    yield record

    async def _parsed(self, path: Path, name: str, tenant: Tenant) -> AsyncGenerator[Record, None]:
        """What a free process makes of a file; its time is the tenant's."""
        child: _Child | None = None
        whole = False
        limits = self._limits
        try:
            child = self._idle.pop() if self._idle else await _Child.start(limits.parse_bytes)
            await child.order(path, name, limits.text_characters, limits.parse_seconds)
            while frame := await self._frame(child, tenant):
                yield record_of_frame(frame)
            whole = True
        except TimeoutError:
            yield Record(
                0,
                DocumentError(
                    f"{name} took longer than {_STUCK * limits.parse_seconds:g} s to parse; split "
                    "it, or save it in another format",
                    Refusal.TOO_COSTLY,
                ),
            )
        except _DiedError:
            assert child is not None
            yield Record(0, why_ended(name, await child.end(), limits.parse_seconds))
        finally:
            if child is not None and whole:
                self._idle.append(child)
            elif child is not None:
                await child.end()

    async def close(self) -> None:
        """End the processes."""
        while self._idle:
            await self._idle.pop().end()

    async def _frame(self, child: _Child, tenant: Tenant) -> dict[str, Any]:
        began = time.monotonic()
        try:
            async with asyncio.timeout(_STUCK * self._limits.parse_seconds):
                return await child.frame(self._limits.text_characters)
        finally:
            self._meter.parsed(tenant, time.monotonic() - began)
