"""Files, sent as they are and parsed by the service, with their progress told."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import IncompleteError, error_of
from ..flow import Blocking, Flow, operation
from .bulk import LINES, SILENCE, go_on, post, send_stream
from .core import Core
from .sent import Sent

_LINES_SUFFIXES = frozenset([".jsonl", ".ndjson"])

OnProgress = Callable[[str, int, int], None]


class Uploads(Core):
    """Files and folders."""

    @operation
    def upload(
        self,
        *paths: str | Path,
        on_progress: OnProgress | None = None,
        sent: Sent | None = None,
    ) -> Flow[Sent]:
        """Send files, and all files of folders, one after another; .jsonl and .ndjson go as
        streams of lines. A file's id is its path from the folder that was named, or its name.

        What the tenant has already is not taken in again. So after an error the call can be made
        again: with the same `sent` it passes over files and lines that are done, without it
        everything is sent and the service recognizes it.

        Args:
            on_progress: called with a file's name, the bytes of it that were sent, and its size.
                It begins again where a request has to be tried again.
            sent: to be added to; None: a new one.

        Raises:
            FileNotFoundError: one is not there.
            ValueError: two would have the same id.
            ClientError: the service refuses to go on, at a quota for instance.
        """
        sent = sent if sent is not None else Sent()
        files: list[tuple[Path, str]] = yield Blocking(lambda: _different(_found(paths)))
        for path, name in files:
            if name not in sent.done:
                yield from _one(self, path, name, on_progress, sent)
        return sent

    @operation
    def send_file(
        self,
        path: str | Path,
        name: str,
        *,
        on_progress: OnProgress | None = None,
        sent: Sent | None = None,
    ) -> Flow[Sent]:
        """Send one file under a name, again while a service stops in the middle of it and more of
        it arrives.

        Args:
            name: its document's id.
            on_progress: as of `upload`.
            sent: to be added to; None: a new one.

        Raises:
            ClientError: the service refuses it.
        """
        sent = sent if sent is not None else Sent()
        yield from _file(self, Path(path), name, on_progress, sent)
        return sent


def _found(paths: tuple[str | Path, ...]) -> Iterator[tuple[Path, str]]:
    """(path, name) of every file, hidden ones left out."""
    for given in map(Path, paths):
        if not given.is_dir():
            yield given, given.name
            continue
        for folder, folders, names in os.walk(given):
            folders[:] = sorted(each for each in folders if not each.startswith("."))
            for name in sorted(each for each in names if not each.startswith(".")):
                path = Path(folder, name)
                yield path, path.relative_to(given).as_posix()


def _different(files: Iterator[tuple[Path, str]]) -> list[tuple[Path, str]]:
    found: dict[str, Path] = {}
    for path, name in files:
        if name in found:
            raise ValueError(
                f"{found[name]} and {path} would both have the id {name!r}; upload the folder that "
                "both are in, or send one by `send_file` under a name of its own"
            )
        found[name] = path
    return [(path, name) for name, path in found.items()]


def _one(
    core: Core, path: Path, name: str, on_progress: OnProgress | None, sent: Sent
) -> Flow[None]:
    if path.suffix.lower() not in _LINES_SUFFIXES:
        yield from _file(core, path, name, on_progress, sent)
        return
    with path.open("rb") as stream:
        told = _Told(stream, name, path.stat().st_size, on_progress)
        yield from send_stream(core, told, LINES, None, sent, name)
    sent.done.add(name)


def _file(
    core: Core, path: Path, name: str, on_progress: OnProgress | None, sent: Sent
) -> Flow[None]:
    while True:
        with ExitStack() as stack:
            file = stack.enter_context(path.open("rb"))
            size = path.stat().st_size

            def options(file: BinaryIO = file, size: int = size) -> dict[str, Any]:
                told = _Told(file, name, size, on_progress)
                return {"files": [("files", (name, told))], "timeout": SILENCE}

            said = yield from post(core, options, sent, 1)
        answer = said.json()
        if said.status_code == 422 and not answer.get("failed"):
            raise error_of(said)
        sent.add(answer)
        if answer.get("complete", True):
            sent.done.add(name)
            return
        if not answer.get("taken_in") and answer.get("retry_after") is None:
            reason = answer["failed"][-1]["reason"]
            raise IncompleteError(f"{name} cannot be sent to its end: {reason}")
        yield from go_on(answer, core.patience)


class _Told:
    """A file that tells how far it was read."""

    def __init__(
        self, file: BinaryIO, name: str, size: int, on_progress: OnProgress | None
    ) -> None:
        self._file, self._name, self._size, self._told = file, name, size, on_progress
        self._read = 0

    def read(self, most: int = -1) -> bytes:
        return self._tell(self._file.read(most))

    def readline(self) -> bytes:
        return self._tell(self._file.readline())

    def seek(self, to: int, whence: int = os.SEEK_SET) -> int:
        self._read = self._file.seek(to, whence)
        return self._read

    def tell(self) -> int:
        return self._file.tell()

    def fileno(self) -> int:
        return self._file.fileno()

    def _tell(self, piece: bytes) -> bytes:
        self._read += len(piece)
        if piece and self._told is not None:
            self._told(self._name, self._read, self._size)
        return piece
