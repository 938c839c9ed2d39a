"""A long ingest in a process of its own: its peak memory, and whether its rate stays what it was.

`python -m mplus_ray.bench.durable.ingests FOLDER CHECKPOINT TOKENS model|random` prints the figures
as JSON.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from mplus_ray.bench.children import peak_bytes

_PARTS = 10  # of an ingest, whose rates are compared


def measure_ingest(folder: Path, checkpoint: str, tokens: int, rows: str) -> dict[str, Any]:
    """Ingest so many tokens into a new data directory, in a child process.

    Args:
        rows: "model" for the real forward pass, "random" for rows that cost nothing.
    """
    command = [sys.executable, "-m", __name__, str(folder), checkpoint, str(tokens), rows]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the ingest of {tokens} tokens failed:\n{done.stderr}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@dataclass
class _Meter:
    """Notes when each part of an ingest was done, and how much memory was resident then."""

    tokens: int
    done: int = 0
    began: float = field(default_factory=time.perf_counter)
    parts: list[dict[str, float]] = field(default_factory=list)

    def __call__(self, tenant: object, tokens: int) -> None:
        self.done += tokens
        if self.done * _PARTS >= self.tokens * (len(self.parts) + 1):
            seconds = time.perf_counter() - self.began
            self.parts.append(
                {"tokens": self.done, "seconds": seconds, "resident_mb": _resident() / 1e6}
            )

    def rates(self) -> list[float]:
        """Tokens a second in every part."""
        marks = [{"tokens": 0, "seconds": 0.0}, *self.parts]
        return [
            (b["tokens"] - a["tokens"]) / (b["seconds"] - a["seconds"]) for a, b in pairwise(marks)
        ]


def _ingest(folder: Path, checkpoint: str, tokens: int, rows: str) -> dict[str, Any]:
    from mplus_ray.bench.fixture import Library, RandomRows, installation, tenant
    from mplus_ray.model import MPlus
    from mplus_ray.pipeline.workers.catch_up import catch_up

    model = MPlus.load(checkpoint, write_only=True)
    if rows == "random":
        model = RandomRows.like(model)
    with installation(folder, model) as system:
        log = tenant(system)
        began = time.perf_counter()
        Library(model).fill(log, tokens)
        accepted = time.perf_counter() - began
        before = peak_bytes()
        meter = _Meter(log.tokens())
        steps = catch_up(system.engine, [log], meter)
        seconds = time.perf_counter() - meter.began
    rates = meter.rates()
    return {
        "tokens": meter.done,
        "steps": steps,
        "rows": rows,
        "accept_seconds": accepted,
        "seconds": seconds,
        "tokens_per_second": meter.done / seconds,
        "rates": rates,
        "last_to_first": sum(rates[-3:]) / sum(rates[:3]),
        "peak_mb_before": before / 1e6,
        "peak_mb": peak_bytes() / 1e6,
        "resident_mb": [part["resident_mb"] for part in meter.parts],
        "row_files_mb": sum(f.stat().st_size for f in (folder / "rows").rglob("*.*")) / 1e6,
        "ledger_mb": sum(f.stat().st_size for f in folder.glob("ledger.db*")) / 1e6,
    }


def _resident() -> int:
    """Bytes that are resident now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


if __name__ == "__main__":
    where, weights, count, kind = sys.argv[1:]
    sys.stdout.write(json.dumps(_ingest(Path(where), weights, int(count), kind)))
