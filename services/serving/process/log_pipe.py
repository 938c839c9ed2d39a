"""Log lines of all processes of a service on one standard error.

Ray keeps what its workers print in files of its session, which end with it; Serve even takes
standard error away from them. So they write their log to a named pipe, line by line, and the
process that runs the service copies it. Workers on other machines, which have no such pipe, log
where Ray has them log.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mplus_ray.pipeline.ray_leftovers import own_folder, parent_folder
from mplus_ray.services import logs

_VARIABLE = "MPLUS_LOG_PIPE"
_END = b"\0"  # which no line has
_BLOCK = 1 << 16


@contextmanager
def log_pipe() -> Iterator[None]:
    """While it lasts, what processes started by this one log comes out here."""
    with own_folder("mplus-log-", parent_folder()) as folder, _copied(folder / "pipe"):
        yield


@contextmanager
def _copied(path: Path) -> Iterator[None]:
    os.mkfifo(path, 0o600)
    pipe = os.open(path, os.O_RDWR)  # held for writing too: so it has no end before ours
    os.environ[_VARIABLE] = str(path)
    thread = threading.Thread(target=_copy, args=(pipe,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        del os.environ[_VARIABLE]
        os.write(pipe, _END)
        thread.join()
        os.close(pipe)


def configure(environment: Mapping[str, str] = os.environ) -> None:
    """Log as `services.logs` does, to the pipe of the process that started this one."""
    stream: Any = None
    if path := environment.get(_VARIABLE):
        with suppress(OSError):  # on another machine, or that process is gone
            stream = _Lines(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
    logs.configure(environment, stream)


class _Lines:
    """A text stream that writes whole lines, and drops them when nobody reads."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe
        self._begun = ""

    def write(self, text: str) -> int:
        self._begun += text
        *lines, self._begun = self._begun.split("\n")
        for line in lines:
            with suppress(OSError):
                os.write(self._pipe, line.replace("\0", "").encode(errors="replace") + b"\n")
        return len(text)

    def flush(self) -> None: ...


def _copy(pipe: int) -> None:
    rest = b""
    while not rest.endswith(_END):
        *lines, rest = (rest + os.read(pipe, _BLOCK)).split(b"\n")
        for line in lines:
            print(line.decode(errors="replace"), file=sys.stderr, flush=True)
