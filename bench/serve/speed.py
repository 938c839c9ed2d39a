"""How fast answers come: by concurrency and tenants, beside the bare reader, and eight at once."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from typing import Any

from mplus_ray.bench.durable.appends import Percentiles
from mplus_ray.bench.ingest.figures import Spread
from mplus_ray.bench.serve.bare import Bare
from mplus_ray.bench.serve.client import Asking, Client
from mplus_ray.bench.serve.samples import Load, TimedQuestion, overhead
from mplus_ray.bench.serve.world import BenchTenant, ask_about, of_length

CONCURRENCY = (1, 8, 32)
EIGHT = 8
_EACH = 4  # questions for each that is under way, at least
_PINGS = 50


async def measure_grid(
    client: Client, members: Sequence[BenchTenant], samples: int, tokens: int
) -> dict[str, Any]:
    """First tokens and rates by `<tenants>x<concurrency>`, over one tenant and over all."""
    await client.drive(ask_about(members, len(members)), EIGHT)  # so that all are open
    found: dict[str, Any] = {}
    for tenants in (1, len(members)):
        for concurrency in CONCURRENCY:
            count = max(samples, _EACH * concurrency)
            askings = ask_about(members[:tenants], count, of_length(tokens))
            load = await client.drive(askings, concurrency)
            found[f"{tenants}x{concurrency}"] = {
                "first_token_ms": load.first_token_ms(),
                "tokens_per_second": load.rates(),
                "errors": load.errors,
            }
    return found


async def measure_overhead(
    client: Client, bare: Bare, members: Sequence[BenchTenant], samples: int
) -> dict[str, Any]:
    """Questions one at a time, each asked every way, so that the machine's moods reach all ways.

    Which way is first changes from question to question.
    """
    askings = ask_about(members, samples)
    for asking in ask_about(members, len(members)):
        await client.ask(asking)
        bare.drive([asking], 1)

    async def alone(asking: Asking) -> TimedQuestion:
        (sample,) = bare.drive([asking], 1).samples
        return sample

    ways: dict[Callable[[Asking], Awaitable[TimedQuestion]], list[TimedQuestion]]
    ways = {way: [] for way in (client.ask, alone, client.ask_whole)}
    for number, asking in enumerate(askings):
        first = number % len(ways)
        for way in [*ways][first:] + [*ways][:first]:
            ways[way].append(await way(asking))
    streamed, bared, whole = ways.values()
    return {
        **overhead(streamed, bared),
        "whole": overhead(whole, bared),
        "ping_ms": await _ping(client),
    }


async def measure_eight(
    client: Client,
    bare: Bare,
    members: Sequence[BenchTenant],
    samples: int,
    tokens: int,
    rounds: int,
) -> dict[str, Any]:
    """Tokens a second of eight questions at a time against one at a time, both ways.

    Of one tenant, and of eight. All four are measured in each round.
    """
    found: dict[str, Any] = {}
    for tenants in (1, EIGHT):
        askings = ask_about(members[:tenants], samples, of_length(tokens))
        ratios: dict[str, list[float]] = {"bare": [], "service": []}
        for _ in range(rounds):
            ratios["bare"].append(_faster(bare.drive(askings, EIGHT), bare.drive(askings, 1)))
            together = await client.drive(askings, EIGHT)
            ratios["service"].append(_faster(together, await client.drive(askings, 1)))
        name = "one_tenant" if tenants == 1 else "eight_tenants"
        found[name] = {way: asdict(Spread.of(values)) for way, values in ratios.items()}
    return found


def _faster(together: Load, alone: Load) -> float:
    return together.tokens_per_second / alone.tokens_per_second


async def _ping(client: Client) -> dict[str, float]:
    """The least that any request takes: proxy, ingress and client, and nothing done."""
    seconds = []
    for _ in range(_PINGS):
        began = time.perf_counter()
        await client.read("/healthz")
        seconds.append(time.perf_counter() - began)
    return asdict(Percentiles.of(seconds))
