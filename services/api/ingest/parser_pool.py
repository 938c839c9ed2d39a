"""Uploaded files to documents, in processes that may be killed.

A file can make a parser run for ever, take all memory or crash; then its process ends, the file
is one that could not be read, and the next one gets a new process.
"""

from __future__ import annotations

import asyncio
import json
import os
import struct
import sys
from collections.abc import AsyncGenerator
from contextlib import suppress
from pathlib import Path
from typing import Any

from mplus_ray.model.errors import DocumentError, OverloadedError
from mplus_ray.pipeline.parsing.document import ParsedDocument, Section
from mplus_ray.pipeline.parsing.records import Record
from mplus_ray.services.api.deps import Limits

_LENGTH = struct.Struct(">I")
_BYTES_PER_CHARACTER = 12  # of JSON: \ud83d\ude00
_MORE = 1 << 20  # of a frame, for all that is not text
_START_SECONDS = 60.0
_PATIENCE = 30.0  # seconds to wait for a free process


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
            "mplus_ray.services.api.ingest.parser_process",
            str(most_bytes),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,  # what it would say may quote the file
            env=_environment(),
        )
        child = cls(process)
        try:
            async with asyncio.timeout(_START_SECONDS):
                await child.frame(0)  # importing the parsers is not the file's time
        except BaseException:
            await child.end()
            raise
        return child

    async def order(self, path: Path, name: str, most: int) -> None:
        assert self._process.stdin is not None
        line = json.dumps({"path": str(path), "name": name, "most": most})
        self._process.stdin.write(line.encode() + b"\n")
        with suppress(ConnectionError):  # its end shows when the answer is read
            await self._process.stdin.drain()

    async def frame(self, most: int) -> dict[str, Any]:
        assert self._process.stdout is not None
        try:
            (size,) = _LENGTH.unpack(await self._process.stdout.readexactly(_LENGTH.size))
            if size > most * _BYTES_PER_CHARACTER + _MORE:
                raise _DiedError
            frame: dict[str, Any] = json.loads(await self._process.stdout.readexactly(size))
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise _DiedError from error
        return frame

    async def end(self) -> None:
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()


class Parsers:
    """As many processes as the limits allow, made when they are needed."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._free = asyncio.Semaphore(limits.parsers)
        self._idle: list[_Child] = []

    async def records(self, path: Path, name: str) -> AsyncGenerator[Record, None]:
        """The documents of a file; what is wrong with the file is a record without one.

        Raises:
            OverloadedError: all processes are busy for long.
        """
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._free.acquire()
        except TimeoutError:
            raise OverloadedError(
                "too many files are being parsed; send this one again later", _PATIENCE
            ) from None
        child: _Child | None = None
        whole = False
        try:
            child = self._idle.pop() if self._idle else await _Child.start(self._limits.parse_bytes)
            await child.order(path, name, self._limits.text_characters)
            while frame := await self._frame(child):
                yield _record(frame)
            whole = True
        except TimeoutError:
            yield Record(
                0,
                DocumentError(
                    f"{name} took longer than {self._limits.parse_seconds:g} s to parse; split "
                    "it, or save it in another format"
                ),
            )
        except _DiedError:
            yield Record(
                0,
                DocumentError(
                    f"{name} ended the process that parsed it; split it, or save it in another "
                    "format"
                ),
            )
        finally:
            self._free.release()
            if child is not None and whole:
                self._idle.append(child)
            elif child is not None:
                await child.end()

    async def close(self) -> None:
        """End the processes."""
        while self._idle:
            await self._idle.pop().end()

    async def _frame(self, child: _Child) -> dict[str, Any]:
        async with asyncio.timeout(self._limits.parse_seconds):
            return await child.frame(self._limits.text_characters)


def _record(frame: dict[str, Any]) -> Record:
    if "error" in frame:
        return Record(frame["number"], DocumentError(frame["error"]))
    sections = tuple(Section(*section) for section in frame["sections"])
    document = ParsedDocument(frame["title"], frame["text"], sections, frame["metadata"])
    return Record(frame["number"], document, frame["id"])


def _environment() -> dict[str, str]:
    """Enough to find the modules; no credentials of the service."""
    kept = ("PATH", "HOME", "LANG", "LC_ALL", "VIRTUAL_ENV", "TMPDIR")
    found = {name: os.environ[name] for name in kept if name in os.environ}
    return {**found, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
