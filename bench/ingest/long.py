"""One long memory, in a process of its own: whether its rate stays what it was.

`python -m mplus_ray.bench.ingest.long FOLDER CHECKPOINT TOKENS` prints the figures as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from mplus_ray.bench.children import peak_bytes
from mplus_ray.bench.fixture import installation, tenant
from mplus_ray.bench.ingest.figures import Marks, flatness, part_rates
from mplus_ray.bench.ingest.texts import Texts, accept
from mplus_ray.bench.ingest.throughput import BATCH
from mplus_ray.model import MPlus
from mplus_ray.pipeline.workers.worker import Worker

_PARTS = 10
_CHARACTERS = 12_000


def measure_long(folder: Path, model: MPlus, tokens: int) -> dict[str, Any]:
    """So many tokens into one tenant; the rate of each tenth, of accepting and of memorizing."""
    texts = Texts()
    with installation(folder, model) as system:
        log = tenant(system)
        accepting: list[tuple[float, int]] = []
        began, done, number = time.perf_counter(), 0, 0
        while done < tokens:
            document = texts.document(f"long {number}", _CHARACTERS)
            accept(log, document, model.tokenizer)
            now = log.tokens()
            accepting.append((time.perf_counter() - began, now - done))
            done, number = now, number + 1
        before = peak_bytes()
        marks = Marks()
        steps = Worker(system.engine, slots=BATCH, observer=marks).drain()
        if log.heads.serving().head.step != log.length():
            raise RuntimeError("not all that was accepted is memorized")
    rates = part_rates(marks.marks, _PARTS)
    return {
        "tokens": done,
        "documents": number,
        "steps": steps,
        "commits": len(marks.marks),
        "seconds": marks.seconds,
        "tokens_per_second": done / marks.seconds,
        "rates": rates,
        **flatness(rates),
        "accepting_rates": part_rates(accepting, _PARTS),
        "peak_mb_before": before / 1e6,
        "peak_mb": peak_bytes() / 1e6,
    }


if __name__ == "__main__":
    where, weights, wanted = sys.argv[1:]
    found = measure_long(Path(where), MPlus.load(weights, write_only=True), int(wanted))
    sys.stdout.write(json.dumps(found))
