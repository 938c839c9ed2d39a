"""A fresh process to its first answer, stage by stage.

`python -m mplus_ray.bench.durable.restarts BEGAN TENANT FOLDER CHECKPOINT [STORE_URL]` prints JSON.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from mplus_ray.bench.names import TENANT

QUESTION = "Where was Maren Tolva born?"


def measure_restart(
    folder: Path,
    checkpoint: str,
    store_url: str | None = None,
    *,
    owner: str = TENANT,
    cold: bool,
    samples: int,
) -> dict[str, Any]:
    """Medians of each stage, from the start of the process to the whole answer.

    Args:
        owner: the tenant that is asked.
        cold: the row files are out of the page cache first, and a remote store's cache is empty.
    """
    runs = []
    for _ in range(samples):
        if cold:
            forget_pages(folder)
            shutil.rmtree(folder / "cache", ignore_errors=True)
        began = time.monotonic()
        command = [sys.executable, "-m", __name__, repr(began), owner, str(folder)]
        done = subprocess.run(
            [*command, checkpoint, *([store_url] if store_url else [])],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"the restart failed:\n{done.stderr}")
        runs.append(json.loads(done.stdout))
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]} | {
        "n": samples,
        "total_ms_range": [min(r["total"] for r in runs), max(r["total"] for r in runs)],
    }


def forget_pages(folder: Path) -> None:
    """Take a folder's files out of the page cache; nothing of them is written since."""
    for path in folder.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


def _restart(
    began: float, owner: str, folder: Path, checkpoint: str, store_url: str | None
) -> dict[str, Any]:
    from mplus_ray.bench.fixture import installation
    from mplus_ray.model import MPlus
    from mplus_ray.pipeline.reading.ask import ask
    from mplus_ray.pipeline.reading.read_plans import read_plan

    marks = {"imports": time.monotonic()}
    model = MPlus.load(checkpoint)
    marks["load_model"] = time.monotonic()
    with installation(folder, model, store_url=store_url) as system:
        log = system.ledger.tenant(owner)
        serving = log.heads.serving()
        plan = read_plan(log, serving)
        marks["read_ledger"] = time.monotonic()
        system.reader.open(plan)
        marks["open_memory"] = time.monotonic()
        ask(log, system.reader, QUESTION, max_tokens=16)
        marks["first_answer"] = time.monotonic()
        ask(log, system.reader, QUESTION, max_tokens=16)
        second = 1e3 * (time.monotonic() - marks["first_answer"])
        tokens = log.tokens()
    times = [began, *marks.values()]
    stages = {name: 1e3 * (b - a) for name, a, b in zip(marks, times, times[1:], strict=False)}
    total = 1e3 * (times[-1] - began)
    return stages | {
        "total": total,
        "without_imports": total - stages["imports"],
        "second_answer": second,
        "steps": serving.head.step,
        "tokens": tokens,
        "shards": len(serving.shards),
        "row_bytes": sum(shard.nbytes for shard in serving.shards),
    }


if __name__ == "__main__":
    start, whose, where, weights, *url = sys.argv[1:]
    result = _restart(float(start), whose, Path(where), weights, url[0] if url else None)
    sys.stdout.write(json.dumps(result))
