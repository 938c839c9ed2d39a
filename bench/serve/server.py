"""`mplus serve` as a process of its own, with a free port; nothing of it is left afterwards."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mplus_ray.bench.serve.processes import Process, processes_with
from mplus_ray.bench.serve.samples import ServeBenchError

_READY_SECONDS = 300.0
_STOP_SECONDS = 20.0  # twice what the service promises
_MPLUS = "from mplus_ray.services.cli.app import main; main()"


@dataclass(frozen=True)
class ServerFolder:
    """An installation.

    Attributes:
        threads: that a reader and a writer compute with.
        folder: the data directory.
        checkpoint: a folder or hub id.
    """

    folder: Path
    checkpoint: str
    threads: int

    @property
    def environment(self) -> dict[str, str]:
        """Of its processes. Nothing of an installation that this machine has otherwise."""
        foreign = ("MPLUS_LEDGER_URL", "MPLUS_STORE_URL", "MPLUS_CACHE_BYTES")
        kept = {name: value for name, value in os.environ.items() if name not in foreign}
        own = {"MPLUS_DATA": str(self.folder), "MPLUS_CHECKPOINT": self.checkpoint}
        threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(self.threads))
        return {**kept, **own, **threads}

    def processes(self) -> list[Process]:
        """Everything that runs for it, at any depth; not the benchmark itself."""
        return processes_with("MPLUS_DATA", str(self.folder))


@dataclass(frozen=True)
class Server:
    """One that answers.

    Attributes:
        operator_key: only at an installation's first start.
        place: whose installation it serves.
        url: where it answers.
    """

    place: ServerFolder
    url: str
    operator_key: str | None

    def reader(self) -> Process:
        """
        Raises:
            ServeBenchError: there is none, or more than one.
        """
        found = [p for p in self.place.processes() if "ServeReplica:mplus:Readers" in p.title]
        if len(found) != 1:
            raise ServeBenchError(f"{len(found)} processes look like the one reader")
        return found[0]


@contextmanager
def serving(place: ServerFolder, *options: str) -> Iterator[Server]:
    """One that is ready; it is told to stop in the end, and killed if it does not.

    Raises:
        ServeBenchError: it does not start; with the last lines that it said.
    """
    said = place.folder.with_suffix(".log")
    with said.open("ab") as stream:
        process = subprocess.Popen(
            [sys.executable, "-c", _MPLUS, "serve", "--port", "0", "--json", "-", *options],
            env=place.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stream,
            text=True,
        )
    try:
        found = _ready(process, said)
        yield Server(place, found["url"], found.get("operator_key"))
    finally:
        _stop(process, place)


def first_json(lines: Sequence[str]) -> dict[str, Any] | None:
    """The object that these lines are; None as long as it is not complete."""
    try:
        found: dict[str, Any] = json.loads("".join(lines))
    except ValueError:
        return None
    return found


def _ready(process: subprocess.Popen[str], said: Path) -> dict[str, Any]:
    lines: queue.Queue[str | None] = queue.Queue()
    threading.Thread(target=_read, args=(process, lines), daemon=True).start()
    deadline = time.monotonic() + _READY_SECONDS
    so_far: list[str] = []
    while (found := first_json(so_far)) is None:
        try:
            line = lines.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            raise ServeBenchError(
                f"the service was not ready within {_READY_SECONDS:.0f} s:\n{_tail(said)}"
            ) from None
        if line is None:
            raise ServeBenchError(f"the service ended while it started:\n{_tail(said)}")
        so_far.append(line)
    return found


def _read(process: subprocess.Popen[str], lines: queue.Queue[str | None]) -> None:
    assert process.stdout is not None
    with suppress(ValueError):  # closed at the end
        for line in process.stdout:
            lines.put(line)
    lines.put(None)


def _tail(said: Path) -> str:
    return "\n".join(said.read_text(errors="replace").splitlines()[-8:])


def _stop(process: subprocess.Popen[str], place: ServerFolder) -> None:
    try:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_SECONDS)
        deadline = time.monotonic() + _STOP_SECONDS
        while place.processes() and process.poll() is not None and time.monotonic() < deadline:
            time.sleep(0.1)  # the last of what it started is ending
    finally:
        for left in place.processes():
            with suppress(ProcessLookupError):
                os.kill(left.pid, signal.SIGKILL)
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
