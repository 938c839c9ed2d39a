"""A tenant's memory: how much of what is where, its named moments, copies of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import anyio
import anyio.to_thread
import httpx

from ..errors import UnreachableError, error_of
from ..flow import Async, Flow, Sync, operation
from ..models import Fork, Memory, MemoryMap, MemoryUsage, Snapshot, Snapshots
from ..requests import call, given, quoted, request
from .core import Core, Filter, chosen

_PATH = "/v1/memory"


class Memories(Core):
    """`/v1/memory`."""

    @operation
    def memory(self) -> Flow[Memory]:
        """How much of what is where, with the limits and the scopes of the key."""
        found = yield from call(self.patience, Memory, "GET", _PATH)
        return found

    @operation
    def memory_map(self, steps: int = 256) -> Flow[MemoryMap]:
        """Where the rows of each step are, layer by layer.

        Args:
            steps: buckets at most, up to 2,000.
        """
        params = {"steps": steps}
        found = yield from call(self.patience, MemoryMap, "GET", f"{_PATH}/map", params=params)
        return found

    @operation
    def memory_usage(self, filter: Filter | None = None) -> Flow[MemoryUsage]:  # noqa: A002 - as the service calls it
        """How much of the quotas documents take up, without those that are being forgotten.

        Args:
            filter: only those that it leaves, such as a session's.
        """
        wanted = chosen(filter)
        text = json.dumps(wanted, ensure_ascii=False) if wanted is not None else None
        params, path = given(filter=text), f"{_PATH}/usage"
        found = yield from call(self.patience, MemoryUsage, "GET", path, params=params)
        return found

    @operation
    def snapshots(self) -> Flow[list[Snapshot]]:
        """All named moments, by step."""
        found = yield from call(self.patience, Snapshots, "GET", f"{_PATH}/snapshots")
        return found.snapshots

    @operation
    def take_snapshot(self, name: str, step: int | None = None) -> Flow[Snapshot]:
        """Name a moment, which `as_of` and `snapshot` go back to.

        Args:
            step: None: as it is now.
        """
        body = given(name=name, step=step)
        path = f"{_PATH}/snapshot"
        made = yield from call(self.patience, Snapshot, "POST", path, json=body)
        return made

    @operation
    def delete_snapshot(self, name: str) -> Flow[None]:
        """Remove a name; no memory is lost with it.

        Raises:
            NotFoundError: there is none of this name.
        """
        path = f"{_PATH}/snapshots/{quoted(name)}"
        yield from request(self.patience, "DELETE", path, again=False)

    @operation
    def fork(self, name: str, step: int | None = None) -> Flow[Fork]:
        """A second tenant from this memory, with a key of its own that is shown this once.

        Args:
            step: from the memory as it was then; None: as it is.
        """
        body = given(name=name, step=step)
        path = f"{_PATH}/fork"
        made = yield from call(self.patience, Fork, "POST", path, again=False, json=body)
        return made

    @operation
    def export(self, target: str | Path, *, memory: bool = False) -> Flow[Path]:
        """Everything this tenant has, into one file, as `mplus import` takes it. The file is there
        when all of it has arrived.

        Args:
            memory: also the rows, so that nothing is memorized again.

        Raises:
            UnreachableError: it broke off.
        """
        path = Path(target)
        part = path.with_name(f"{path.name}.part")
        params = {"memory": "true" if memory else "false"}
        yield _Download(f"{_PATH}/export", params, part)
        return part.replace(path)


@dataclass(frozen=True)
class _Download:
    """A response's body into a file; nothing is left of one that breaks off."""

    path: str
    params: dict[str, Any]
    target: Path

    def now(self, runner: Sync) -> None:
        try:
            with (
                runner.http.stream("GET", self.path, params=self.params) as answer,
                self.target.open("wb") as file,
            ):
                if not answer.is_success:
                    answer.read()
                    raise error_of(answer)
                for piece in answer.iter_bytes():
                    file.write(piece)
        except BaseException as error:
            self._give_up(error)
            raise

    async def later(self, runner: Async) -> None:
        try:
            async with runner.http.stream("GET", self.path, params=self.params) as answer:
                if not answer.is_success:
                    await answer.aread()
                    raise error_of(answer)
                file: IO[bytes]
                with self.target.open("wb") as file:
                    async for piece in answer.aiter_bytes():
                        await anyio.to_thread.run_sync(file.write, piece)
        except BaseException as error:
            self._give_up(error)
            raise

    def _give_up(self, error: BaseException) -> None:
        self.target.unlink(missing_ok=True)
        if isinstance(error, httpx.TransportError):
            raise UnreachableError(f"the export broke off: {error!r}") from error
