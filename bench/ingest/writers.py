"""Two writer processes against one, on the same documents, with one thread each.

`python -m mplus_ray.bench.ingest.writers FOLDER CHECKPOINT` is one writer: it says that it is
ready, waits for a line, memorizes what waits, and prints how many steps it made.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mplus_ray.bench.children import started
from mplus_ray.bench.fixture import installation, tenant
from mplus_ray.bench.ingest.figures import Spread
from mplus_ray.bench.ingest.texts import Texts, accept
from mplus_ray.bench.ingest.throughput import BATCH, workload
from mplus_ray.model import MPlus
from mplus_ray.pipeline.workers.worker import Worker

_TENANTS = 2 * BATCH  # enough for both to fill their passes


def measure_writers(
    folder: Path,
    checkpoint: str,
    model: MPlus,
    texts: Texts,
    characters: int,
    rounds: int,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Tokens a second of one and of two writers, from the log to the last commit, by turns."""
    rates: dict[int, list[float]] = {1: [], 2: []}
    shares = []
    for number in range(rounds):
        for writers, found in rates.items():
            say(f"round {number + 1} of {rounds}: {writers} writers of one thread")
            place = Path(tempfile.mkdtemp(dir=folder))
            tokens = _fill(place, model, texts, characters, number)
            seconds, steps = _write(place, checkpoint, writers)
            _check(place, model, sum(steps))
            found.append(tokens / seconds)
            if writers == 2:
                shares.append(min(steps) / sum(steps))
            shutil.rmtree(place)
    speedups = [two / one for one, two in zip(rates[1], rates[2], strict=True)]
    return {
        "tenants": _TENANTS,
        "one": asdict(Spread.of(rates[1])),
        "two": asdict(Spread.of(rates[2])),
        "speedup": asdict(Spread.of(speedups)),
        "smaller_share_of_steps": asdict(Spread.of(shares)),
    }


def _fill(folder: Path, model: MPlus, texts: Texts, characters: int, number: int) -> int:
    """Accept some tenants' documents; returns their tokens."""
    tokens = 0
    with installation(folder, model) as system:
        for n, documents in enumerate(workload(texts, _TENANTS, characters, number)):
            log = tenant(system, f"tenant-{n}")
            for document in documents:
                accept(log, document, model.tokenizer)
            tokens += log.tokens()
    return tokens


def _write(folder: Path, checkpoint: str, writers: int) -> tuple[float, list[int]]:
    """Seconds until all writers are done, and the steps of each; their start is not counted."""
    with ExitStack() as stack:
        processes = [
            stack.enter_context(started(__name__, [folder, checkpoint], threads=1))
            for _ in range(writers)
        ]
        for process in processes:
            if _line(process.stdout) != "ready":
                raise RuntimeError("a writer did not start; it has said why")
        began = time.perf_counter()
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        steps = [int(_line(process.stdout) or -1) for process in processes]
        seconds = time.perf_counter() - began
    if min(steps) < 0:
        raise RuntimeError("a writer failed; it has said why")
    return seconds, steps


def _line(stream: Any) -> str:
    return str(stream.readline()).strip()


def _check(folder: Path, model: MPlus, steps: int) -> None:
    with installation(folder, model) as system:
        summaries = system.ledger.tenants()
    wanted = sum(summary.chunks for summary in summaries)
    reached = sum(summary.step for summary in summaries)
    if not steps == reached == wanted:
        raise RuntimeError(f"{steps} steps were made and {reached} committed of {wanted}")


def _serve(folder: Path, checkpoint: str) -> None:
    with installation(folder, MPlus.load(checkpoint, write_only=True)) as system:
        worker = Worker(system.engine, slots=BATCH)
        print("ready", flush=True)
        sys.stdin.readline()
        print(worker.drain(), flush=True)


if __name__ == "__main__":
    _serve(Path(sys.argv[1]), sys.argv[2])
