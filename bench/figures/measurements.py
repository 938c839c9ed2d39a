"""`mplus bench figures`: what fits into an hour, measured anew, one command after the other.

Every command is a process of its own with a limit of its own. One that fails, or has no time
left, is named on the page; the others go on. `bench.figures.page` writes the page.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_MPLUS = "from mplus_ray.services.cli.app import main; main()"
_MINUTE = 60.0
WHOLE = 60.0  # minutes that all of them may take
_LEAST = 1.0  # minute that has to be left for one to begin
_ENDING = 30.0  # seconds that a command has to end what it started
_SAID = 400  # characters of what a measurement that failed said last


@dataclass(frozen=True)
class Measurement:
    """A command that measures, and where its figures belong.

    Attributes:
        name: by which other code finds its figures.
        title: of its table.
        command: arguments of `mplus`, without `--json`.
        minutes: that it may take; what takes longer is ended and said to have failed.
        takes_checkpoint: whether it has the option `--checkpoint`.
    """

    name: str
    title: str
    command: tuple[str, ...]
    minutes: float
    takes_checkpoint: bool = True


@dataclass(frozen=True)
class Outcome:
    """What became of a measurement.

    Attributes:
        measurement: which it was.
        figures: as the command wrote them; None if it failed.
        seconds: that it took.
        error: why there are no figures; empty if there are.
    """

    measurement: Measurement
    figures: Any
    seconds: float
    error: str = ""


# The first are those that README shows.
def measurements(data: Path | None = None) -> list[Measurement]:
    """What is measured, in this order.

    Args:
        data: passages with questions for `mplus bench rag`; None for those that ship.
    """
    rag = ["bench", "rag"]
    if data is not None:
        rag += ["--limit", "100", "--tokens", "20000", "--data", str(data)]
    retention = "eval retention --tokens 0,10000 --questions 40 --tenants 2".split()
    return [
        Measurement("rag", "From memory, or from passages in the prompt", tuple(rag), 15),
        Measurement("demo", "The demo: two tenants by a service", ("demo",), 8),
        Measurement("ingest", "Documents arriving", ("bench", "ingest", "--quick"), 14),
        Measurement("retention", "Facts, and how long they are remembered", tuple(retention), 8),
        Measurement("model", "The paper's geometry", ("bench", "model"), 6, False),
        Measurement("memory", "Durable memory", ("bench", "memory", "--quick"), 12),
        Measurement("serve", "Questions to a service", ("bench", "serve", "--quick"), 16),
    ]


def measure(
    chosen: Iterable[Measurement],
    checkpoint: str | None,
    say: Callable[[str], None],
    minutes: float = WHOLE,
) -> list[Outcome]:
    """Run the measurements one after the other; one that fails leaves the others alone.

    Args:
        checkpoint: a folder or hub id; None for the default.
        say: is told which begins, and what became of it.
        minutes: for all of them.
    """
    outcomes = []
    end = time.monotonic() + minutes * _MINUTE
    for one in chosen:
        left = (end - time.monotonic()) / _MINUTE
        shown = f"mplus {' '.join(one.command)}"
        if left < min(_LEAST, one.minutes):
            outcomes.append(Outcome(one, None, 0.0, f"no time was left of {minutes:g} minutes"))
        else:
            limit = min(one.minutes, left)
            say(f"{shown} (at most {limit:.3g} minutes)")
            outcomes.append(_measured(one, checkpoint, limit))
        say(f"{shown}: {outcomes[-1].error or f'{outcomes[-1].seconds:,.0f} s'}")
    return outcomes


def _measured(one: Measurement, checkpoint: str | None, minutes: float) -> Outcome:
    began = time.monotonic()
    found: Any = None
    with tempfile.TemporaryDirectory(prefix="mplus-figures-") as folder:
        target = Path(folder) / "figures.json"
        command = [sys.executable, "-c", _MPLUS, *one.command, "--json", str(target)]
        if checkpoint and one.takes_checkpoint:
            command += ["--checkpoint", checkpoint]
        error = _run(command, minutes, Path(folder) / "said")
        seconds = time.monotonic() - began
        if not error:
            try:
                found = json.loads(target.read_text("utf-8"))
            except (OSError, ValueError) as failed:
                error = f"it wrote no figures: {failed}"
    return Outcome(one, found, seconds, error)


def _run(command: Sequence[str], minutes: float, said: Path) -> str:
    """Run a command to its end; returns why it failed, or an empty string.

    It has a process group of its own, of which nothing is left behind.
    """
    with said.open("wb") as stream:
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=stream, start_new_session=True
        )
        try:
            code = process.wait(minutes * _MINUTE)
            late = ""
        except subprocess.TimeoutExpired:
            late = f"it took longer than {minutes:.3g} minutes"
            code = _ended(process)
        finally:
            _kill_group(process.pid)
    if late or code == 0:
        return late
    lines = said.read_text("utf-8", errors="replace").strip().splitlines()
    return lines[-1][:_SAID] if lines else f"it ended with code {code} and said nothing"


def _ended(process: subprocess.Popen[bytes]) -> int:
    """Ask a command to end, so that a service stops its readers and writers."""
    process.terminate()
    try:
        return process.wait(_ENDING)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def _kill_group(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:  # all of it has ended
        return
