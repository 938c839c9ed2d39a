"""`mplus bench figures`: what fits into an hour, measured anew, as one page of tables.

Every table names the machine, the commit and the command, so that nothing on the page is older
than the page.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from mplus_ray.bench.machine import describe
from mplus_ray.model.object_store.failures import refusals_of

_MPLUS = "from mplus_ray.services.cli.app import main; main()"
_MINUTE = 60.0
_SAID = 400  # characters of what a measurement that failed said last


@dataclass(frozen=True)
class Measurement:
    """A command that measures, and where its figures belong.

    Attributes:
        title: of its table.
        command: arguments of `mplus`, without `--json`.
        minutes: that it may take; what takes longer is ended and said to have failed.
    """

    title: str
    command: tuple[str, ...]
    minutes: float


MEASUREMENTS = (
    Measurement("The model at the paper's geometry", ("bench", "model"), 6),
    Measurement("Durable memory", ("bench", "memory", "--quick"), 8),
    Measurement("Documents arriving", ("bench", "ingest", "--quick"), 10),
    Measurement("Short documents", ("bench", "short", "--quick"), 8),
    Measurement("What the checkpoint remembers, finds and knows", ("eval", "quick"), 12),
    Measurement("The query service", ("demo",), 6),
)


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


def measure(
    measurements: Sequence[Measurement],
    checkpoint: str | None,
    say: Callable[[str], None],
) -> list[Outcome]:
    """Run the measurements one after the other; one that fails leaves the others alone.

    Args:
        checkpoint: a folder or hub id; None for the default.
        say: is told which begins.
    """
    outcomes = []
    for one in measurements:
        say(f"mplus {' '.join(one.command)} (at most {one.minutes:g} minutes)")
        outcomes.append(_measured(one, checkpoint))
    return outcomes


def write_page(path: Path, outcomes: Sequence[Outcome]) -> None:
    """Write all tables as Markdown.

    Raises:
        StorageError: the file cannot be written.
    """
    machine = describe(torch.device("cpu"), torch.float32)
    with refusals_of(f"{path} cannot be written"):
        path.write_text(page(outcomes, machine, datetime.now(UTC)), "utf-8")


def page(outcomes: Sequence[Outcome], machine: dict[str, Any], moment: datetime) -> str:
    """The page's text.

    Args:
        machine: as `bench.machine.describe` says it.
        moment: when it was measured.
    """
    parts = [
        "# Figures\n\n"
        f"Measured on {moment:%Y-%m-%d} at commit {machine['commit']} by `make figures`, on "
        f"{machine['device']} ({machine['threads']} threads, torch {machine['torch']}, Python "
        f"{machine['python']}). A value with a range is a median with its lowest and highest.\n"
    ]
    for one in outcomes:
        command = f"`mplus {' '.join(one.measurement.command)}`"
        parts.append(f"## {one.measurement.title}\n\n{command}, {one.seconds:,.0f} s.\n")
        if one.error:
            parts.append(f"It failed: {one.error}\n")
            continue
        rows = [f"| {name} | {value} |" for name, value in rows_of(one.figures)]
        parts.append("\n".join(["| figure | value |", "|---|---|", *rows]) + "\n")
    return "\n".join(parts)


def rows_of(figures: Any, place: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """(name, value) of every number in a command's JSON; a spread is one value."""
    if isinstance(figures, dict):
        middle = next((name for name in ("median", "p50") if name in figures), None)
        if middle and {"low", "high"} <= figures.keys():
            shown = f"{_number(figures[middle])} ({_number(figures['low'])} to "
            shown += f"{_number(figures['high'])})"
            tail = f", p99 {_number(figures['p99'])}" if "p99" in figures else ""
            count = f", n = {figures['n']}" if "n" in figures else ""
            yield " · ".join(place), shown + tail + count
            return
        for name, value in figures.items():
            if name not in ("machine", "replies"):
                yield from rows_of(value, (*place, str(name).replace("_", " ")))
    elif isinstance(figures, int | float) and not isinstance(figures, bool):
        yield " · ".join(place), _number(figures)


def _measured(one: Measurement, checkpoint: str | None) -> Outcome:
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mplus-figures-") as folder:
        target = Path(folder) / "figures.json"
        command = [sys.executable, "-c", _MPLUS, *one.command, "--json", str(target)]
        if checkpoint and one.command != ("bench", "model"):
            command += ["--checkpoint", checkpoint]
        error = _run(command, one.minutes * _MINUTE)
        seconds = time.monotonic() - began
        if not error and not target.exists():
            error = "it wrote no figures"
        found = None if error else json.loads(target.read_text("utf-8"))
    return Outcome(one, found, seconds, error)


def _run(command: Sequence[str], seconds: float) -> str:
    """Run a command to its end; returns why it failed, or an empty string."""
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            _, said = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.terminate()  # a service ends its readers and writers
            process.communicate()
            return f"it took longer than {seconds / _MINUTE:g} minutes"
    lines = said.strip().splitlines()
    return "" if process.returncode == 0 else (lines[-1][:_SAID] if lines else "it said nothing")


def _number(value: float) -> str:
    """Three digits, or all of a whole number."""
    if isinstance(value, int) or value == int(value):
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
