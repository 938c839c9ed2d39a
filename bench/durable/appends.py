"""One step made durable: sealing its rows and committing its head, after much or little before."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mplus_ray.actors.plans import Sealed, WriteRequest
from mplus_ray.bench.fixture import Library, tenant
from mplus_ray.pipeline.ledger.heads.leases import Lease
from mplus_ray.pipeline.ledger.tenant_log import TenantLog
from mplus_ray.pipeline.workers.catch_up import catch_up
from mplus_ray.pipeline.writing.write_job import WriteJob
from mplus_ray.services.embedded import Embedded


@dataclass(frozen=True)
class Percentiles:
    """Milliseconds of repeated calls.

    Attributes:
        p50, p99: of all calls.
        low, high: the fastest and the slowest.
        n: how many calls.
    """

    p50: float
    p99: float
    low: float
    high: float
    n: int

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Percentiles:
        ms = 1e3 * np.array(seconds)
        p50, p99 = (float(np.percentile(ms, q)) for q in (50, 99))
        return cls(p50, p99, float(ms.min()), float(ms.max()), len(ms))


def measure_appends(
    system: Embedded, library: Library, sizes: Sequence[int], samples: int
) -> dict[str, Any]:
    """For each number of tokens ingested before: sealing a step, committing it, and both."""
    log = tenant(system)
    result: dict[str, Any] = {}
    for tokens in sizes:
        began = time.perf_counter()
        library.fill(log, tokens)
        steps = catch_up(system.engine, [log])
        filled = time.perf_counter() - began
        result[str(tokens)] = {
            **_append(system, library, log, samples),
            "fill_steps": steps,
            "fill_seconds": filled,
        }
    return result


def measure_floor(folder: Path, nbytes: int, samples: int) -> dict[str, float]:
    """A new file of so many bytes flushed with its folder: the least that a local seal needs."""
    data = os.urandom(nbytes)
    seconds = []
    for number in range(samples):
        began = time.perf_counter()
        path = folder / f"floor-{number}"
        with path.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        place = os.open(folder, os.O_RDONLY)
        os.fsync(place)
        os.close(place)
        seconds.append(time.perf_counter() - began)
        path.unlink()
    return asdict(Percentiles.of(seconds))


def _append(system: Embedded, library: Library, log: TenantLog, samples: int) -> dict[str, Any]:
    """Steps one by one, each with a file and a commit of its own."""
    engine, writer = system.engine, system.engine.writer
    tokens = samples * system.model.config.chunk_tokens
    library.fill(log, log.tokens() + tokens)
    sealing, committing, both = [], [], []
    with engine.lease(log) as lease:
        job = WriteJob.of(log, lease)
        chunks = log.chunks(writer.open(job.plan))
        for chunk, _ in zip(chunks, range(samples), strict=False):
            ids = engine.tokenizer.encode(chunk.text)
            writer.memorize([WriteRequest(log.tenant.id, chunk.step, ids)])
            began = time.perf_counter()
            sealed = writer.seal(log.tenant.id)
            middle = time.perf_counter()
            assert sealed is not None
            _commit(log, lease, sealed)
            end = time.perf_counter()
            sealing.append(middle - began)
            committing.append(end - middle)
            both.append(end - began)
        writer.close(log.tenant.id)
    return {
        "ms": asdict(Percentiles.of(both)),
        "seal_ms": asdict(Percentiles.of(sealing)),
        "commit_ms": asdict(Percentiles.of(committing)),
    }


def _commit(log: TenantLog, lease: Lease, sealed: Sealed) -> None:
    log.heads.commit(
        lease,
        sealed.head,
        step=sealed.step,
        history=sealed.history,
        shards=sealed.shards,
        states=sealed.states,
        drop_states=sealed.drop_states,
    )
