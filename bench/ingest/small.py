"""Many small documents of many tenants, in a process of its own so that its memory is its own.

`python -m mplus_ray.bench.ingest.small FOLDER CHECKPOINT COUNT TENANTS [DIALOGUES]` prints JSON.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mplus_ray.bench.children import peak_bytes
from mplus_ray.bench.durable.appends import Percentiles
from mplus_ray.bench.fixture import installation, tenant
from mplus_ray.bench.ingest.running import BenchWorker, running
from mplus_ray.bench.ingest.texts import Texts, accept
from mplus_ray.bench.ingest.throughput import BATCH
from mplus_ray.model import MPlus
from mplus_ray.pipeline.ledger.tenant_log import TenantLog
from mplus_ray.pipeline.parsing.document import ParsedDocument
from mplus_ray.pipeline.workers.worker import Worker
from mplus_ray.services.embedded import Embedded

_POLL_SECONDS = 0.1
_PACED = 5  # one document in so many is sent again at half of the rate


def measure_small(
    folder: Path, model: MPlus, count: int, tenants: int, dialogues: Path | None = None
) -> dict[str, Any]:
    """Documents arrive as fast as they are accepted, then at half the rate that came of it.

    A delay is from a document's creation in the ledger to the commit that made it answerable.
    """
    turns = Texts().turns(count + count // _PACED, dialogues)
    with installation(folder, model) as system:
        logs = [tenant(system, f"tenant-{n}") for n in range(tenants)]
        before = peak_bytes()
        with running(Worker(system.engine, slots=BATCH)) as worker:
            began = time.time()
            accepted = _send(system, logs, turns[:count], 0, None)
            _wait(system, worker)
            burst = _times(logs, since=0)
            seconds = max(end for _, end in burst) - began
            rate = count / seconds
            peak = peak_bytes()
            _send(system, logs, turns[count:], count, 1 / (rate / 2))
            _wait(system, worker)
            paced = _times(logs, since=count)
        summaries = system.ledger.tenants()
    return {
        "documents": count,
        "tenants": tenants,
        "tokens_per_document": sum(s.tokens for s in summaries) / len(turns),
        "steps_per_document": sum(s.chunks for s in summaries) / len(turns),
        "seconds": seconds,
        "documents_per_second": rate,
        "accepted_per_second": count / accepted,
        "burst_answerable_ms": _delays(burst),
        "at_half_rate": {
            "documents": len(paced),
            "documents_per_second": rate / 2,
            "answerable_ms": _delays(paced),
        },
        "peak_mb_before": before / 1e6,
        "peak_mb": peak / 1e6,
        "row_files": sum(1 for _ in (folder / "rows").rglob("*-rows-*")),
        "ledger_mb": sum(f.stat().st_size for f in folder.glob("ledger.db*")) / 1e6,
    }


def _send(
    system: Embedded,
    logs: Sequence[TenantLog],
    turns: Sequence[str],
    first: int,
    interval: float | None,
) -> float:
    """Accept messages, each of the next tenant; returns the seconds it took.

    Args:
        first: number of the first message.
        interval: seconds between two of them; None is as fast as they are accepted.
    """
    model = system.model
    began = time.perf_counter()
    for number, turn in enumerate(turns):
        if interval is not None:
            time.sleep(max(0.0, began + number * interval - time.perf_counter()))
        document = ParsedDocument(str(first + number), turn)
        log = logs[(first + number) % len(logs)]
        accept(log, document, model.tokenizer)
    return time.perf_counter() - began


def _wait(system: Embedded, worker: BenchWorker) -> None:
    """Until everything accepted is committed."""
    while any(summary.step < summary.chunks for summary in system.ledger.tenants()):
        worker.check()
        time.sleep(_POLL_SECONDS)


def _times(logs: Sequence[TenantLog], since: int) -> list[tuple[float, float]]:
    """(created, memorized) of every document from number `since` on, in seconds."""
    found = [document for log in logs for document in log.documents()]
    return [
        (document.created, document.memorized)
        for document in found
        if document.memorized is not None and int(document.key) >= since
    ]


def _delays(times: Sequence[tuple[float, float]]) -> dict[str, float]:
    return asdict(Percentiles.of([end - begin for begin, end in times]))


if __name__ == "__main__":
    where, weights, wanted, owners, *talk = sys.argv[1:]
    found = measure_small(
        Path(where),
        MPlus.load(weights, write_only=True),
        int(wanted),
        int(owners),
        Path(talk[0]) if talk else None,
    )
    sys.stdout.write(json.dumps(found))
