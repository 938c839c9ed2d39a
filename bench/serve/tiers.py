"""A question to a memory that is prepared, open, on disk, or dropped and made again from text.

The service runs with budgets that hold one prepared memory and two open ones, so asking other
tenants in between puts a memory where it is wanted. The readers' own counters say whether it
was there.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mplus_ray.actors.plans import ReadPlan
from mplus_ray.actors.reading.footprint import Footprint
from mplus_ray.bench.durable.appends import Percentiles
from mplus_ray.bench.durable.restarts import forget_pages
from mplus_ray.bench.serve.client import Asking, Client, counters
from mplus_ray.bench.serve.samples import ServeBenchError, TimedQuestion
from mplus_ray.bench.serve.world import BenchTenant, ask_about
from mplus_ray.model import MPlus
from mplus_ray.pipeline.maintenance.tenant_lifecycle import drop_rows
from mplus_ray.services.embedded import Embedded

TENANTS = 4
_OTHERS = {"warm": 0, "host": 1, "disk": TENANTS - 1}  # asked since the tenant was
_COUNTED = {"warm": "device_hits", "host": "host_hits", "disk": "misses"}
_QUESTION = (512, 128)  # tokens of prompt and answer, more than those asked here have
_COLD_SECONDS = 600.0


def one_prepared(model: MPlus, plans: Sequence[ReadPlan]) -> tuple[int, int]:
    """Bytes (device, host) in which the first two memories are open, and one of them prepared.

    The host's are what is scarce: a prepared memory takes some of them on every device.
    """
    footprint = Footprint(model)
    rows = [footprint.rows(plan) for plan in plans]
    views = [footprint.view(plan) for plan in plans]
    device = sum(each.device for each in (*rows, *views))
    one, other = (view.host for view in views[:2])
    host = sum(each.host for each in rows[:2]) + max(one, other) + min(one, other) // 2
    return device + footprint.question(*_QUESTION).device, host


async def measure_tiers(
    client: Client,
    operator_key: str,
    members: Sequence[BenchTenant],
    system: Embedded,
    rounds: int,
    cold_rounds: int,
) -> dict[str, Any]:
    """Milliseconds to the first token, by where the memory was.

    Raises:
        ServeBenchError: questions fail, or a memory could not be put where it was wanted.
    """
    first, *others = members[:TENANTS]
    seconds: dict[str, list[float]] = {tier: [] for tier in _OTHERS}
    askings = ask_about([first], rounds)
    before = ask_about(others, len(others))
    store = Path(system.settings.store_url)
    for asking in askings:
        _good(await client.ask(asking))
        for tier, count in _OTHERS.items():
            for other in before[:count]:
                _good(await client.ask(other))
            if tier == "disk":
                await asyncio.to_thread(forget_pages, store)
            was = await _count(client, operator_key, tier)
            sample = _good(await client.ask(asking))
            if await _count(client, operator_key, tier) == was + 1:
                seconds[tier].append(sample.to_first)
    missed = [tier for tier, values in seconds.items() if not values]
    if missed:
        raise ServeBenchError(f"no memory was in these tiers when it was asked for: {missed}")
    cold = [await _cold(client, asking, system) for asking in askings[:cold_rounds]]
    steps = system.ledger.tenant(first.name).length()
    figures = {tier: asdict(Percentiles.of(values)) for tier, values in seconds.items()}
    return {**figures, "cold": asdict(Percentiles.of(cold)), "steps": steps}


def medians(found: dict[str, Any]) -> dict[str, float]:
    return {tier: found[tier]["p50"] for tier in (*_OTHERS, "cold")}


async def _cold(client: Client, asking: Asking, system: Embedded) -> float:
    """Drop the memory, and ask until it has been made again; seconds to the first token.

    The service waits for it as long as it waits for anything; then it is asked again.
    """
    log = system.ledger.tenant(asking.tenant)
    whole = log.heads.serving().head.step
    await asyncio.to_thread(drop_rows, system.stores, log)
    began = time.perf_counter()
    while True:
        sample = await client.ask(asking)
        if not sample.error:
            break
        if not sample.error.startswith("504") or time.perf_counter() - began > _COLD_SECONDS:
            _good(sample)
    if sample.step < whole:
        raise ServeBenchError(f"a dropped memory of {whole} steps answered at step {sample.step}")
    return sample.began + sample.to_first - began


async def _count(client: Client, operator_key: str, tier: str) -> float:
    answer = await client.read("/metrics", operator_key)
    name = f"mplus_reader_{_COUNTED[tier]}_total"
    found = counters(answer.text)
    if name not in found:
        raise ServeBenchError(f"/metrics has no {name}")
    return found[name]


def _good(sample: TimedQuestion) -> TimedQuestion:
    if sample.error:
        raise ServeBenchError(f"a question failed: {sample.error}")
    return sample
