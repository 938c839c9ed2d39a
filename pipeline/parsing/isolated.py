"""Files parsed in a process of their own, which may run out of time or memory, or crash."""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from mplus_ray.model.errors import DocumentError
from mplus_ray.pipeline.parsing.child import LENGTH, record_of_frame, records_of
from mplus_ray.pipeline.parsing.document import ParsedDocument
from mplus_ray.pipeline.parsing.formats.pdf.ocr import Ocr
from mplus_ray.pipeline.parsing.kinds import KINDS, content_kind
from mplus_ray.pipeline.parsing.records.record import Record
from mplus_ray.pipeline.parsing.refusals import Refusal

MODULE = "mplus_ray.pipeline.parsing.child"
PARSE_SECONDS = 60.0  # of the process's own time, for a file or the next record of one
PARSE_BYTES = 4096 * 2**20  # memory it may use
TEXT_CHARACTERS = 20_000_000  # of one document
_LOOK = 1 << 16  # bytes by which it is told whether a file is plain text
# Read by code of our own that is linear in the file, so that a process of its own is not worth it.
_PLAIN = frozenset(["txt", "md", "org", "tex", "code", "csv", "jsonl"])


def read_path(path: Path, name: str, ocr: Ocr | None = None) -> Iterator[Record]:
    """The documents of a file; one of a single document gives one record that is the whole.

    Args:
        name: as people know it.

    Raises:
        DocumentError: nothing can be taken from it, or nothing more: its parser said so, took too
            much time or memory, or ended its process.
    """
    if _is_plain(path, name):
        yield from records_of(path, name, ocr)
        return
    last: Record | None = None
    for record in _process().records(path, name, ocr):
        if record.number == 0:  # told when its answer is read, so that the process can go on
            last = record
        else:
            yield record
    if last is not None:
        last.load()


def parse_path(path: Path, name: str, ocr: Ocr | None = None) -> ParsedDocument:
    """The document of a file that holds one.

    Raises:
        DocumentError: there is none.
    """
    (record,) = read_path(path, name, ocr)
    return record.load()


def _is_plain(path: Path, name: str) -> bool:
    if KINDS.get(Path(name).suffix.lower()) not in _PLAIN:
        return False
    try:
        with path.open("rb") as file:
            return content_kind(file.read(_LOOK)) is None
    except OSError as error:
        raise DocumentError(
            f"{name} cannot be read: {error.strerror or error}", Refusal.UNREADABLE
        ) from error


def child_environment() -> dict[str, str]:
    """Enough to find the modules; no credentials."""
    kept = ("PATH", "HOME", "LANG", "LC_ALL", "VIRTUAL_ENV", "TMPDIR", "TESSDATA_PREFIX")
    found = {name: os.environ[name] for name in kept if name in os.environ}
    paths = os.pathsep.join(path for path in (*sys.path, str(Path.cwd())) if path)
    return {**found, "PYTHONPATH": paths, "OMP_THREAD_LIMIT": "1"}


def why_ended(name: str, code: int | None, seconds: float) -> DocumentError:
    """What a process that ended in the middle says of a file.

    Args:
        code: as it ended; negative: by that signal.
        seconds: that it was allowed.
    """
    if code == -signal.SIGPROF:
        return DocumentError(
            f"{name} took more than {seconds:g} s of computing to parse; split it, or save it in "
            "another format",
            Refusal.TOO_COSTLY,
        )
    return DocumentError(
        f"{name} ended the process that parsed it; split it, or save it in another format",
        Refusal.TOO_COSTLY,
    )


class ParserProcess:
    """One process, started when it is needed, and again after a file that ended it."""

    def __init__(self, seconds: float = PARSE_SECONDS, memory: int = PARSE_BYTES) -> None:
        self._seconds = seconds
        self._memory = memory
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def records(self, path: Path, name: str, ocr: Ocr | None = None) -> Iterator[Record]:
        """The documents of a file; what is wrong with the file is a record without one."""
        with self._lock:
            process = self._started()
            order = {
                "path": str(path),
                "name": name,
                "most": TEXT_CHARACTERS,
                "seconds": self._seconds,
                "ocr": ocr.languages if ocr is not None else None,
            }
            whole = False
            try:
                self._send(process, order)
                while frame := _frame(process):
                    yield record_of_frame(frame)
                whole = True
            except EOFError:
                yield Record(0, why_ended(name, process.wait(), self._seconds))
            finally:
                if not whole:
                    self._end()

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._end()

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", MODULE, str(self._memory)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # what it would say may quote the file
                env=child_environment(),
            )
            try:
                _frame(self._process)  # it is ready
            except EOFError as error:
                raise DocumentError(
                    "the process that parses files cannot be started; is the memory enough?",
                    Refusal.TOO_COSTLY,
                ) from error
        return self._process

    def _send(self, process: subprocess.Popen[bytes], order: dict[str, Any]) -> None:
        assert process.stdin is not None
        with suppress(ConnectionError):  # its end shows when the answer is read
            process.stdin.write(json.dumps(order).encode() + b"\n")
            process.stdin.flush()

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with suppress(OSError):
                        pipe.close()


def _frame(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    """
    Raises:
        EOFError: the process ended.
    """
    assert process.stdout is not None
    head = process.stdout.read(LENGTH.size)
    if len(head) < LENGTH.size:
        raise EOFError
    (size,) = LENGTH.unpack(head)
    body = process.stdout.read(size)
    if len(body) < size:
        raise EOFError
    frame: dict[str, Any] = json.loads(body)
    return frame


@cache
def _process() -> ParserProcess:
    """This process's one."""
    shared = ParserProcess()
    atexit.register(shared.close)
    return shared
