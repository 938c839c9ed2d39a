"""`mplus bench serve`: questions over HTTP to a real service, which the benchmark starts itself.

Everything stays on 127.0.0.1. The same questions go straight to a reader in this process, so
what the service adds is beside what the reader takes, on the same machine in the same run.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from mplus_ray.bench.fixture import installation
from mplus_ray.bench.ingest.texts import Texts
from mplus_ray.bench.machine import describe, measure_roofline
from mplus_ray.bench.serve import tiers
from mplus_ray.bench.serve.bare import bare_reader, plans_of
from mplus_ray.bench.serve.client import Client
from mplus_ray.bench.serve.killing import measure_killed
from mplus_ray.bench.serve.mixed import CHARACTERS, LIFE, half_of, measure_mixed
from mplus_ray.bench.serve.reads import measure_reads
from mplus_ray.bench.serve.server import Server, ServerFolder, serving
from mplus_ray.bench.serve.show import show
from mplus_ray.bench.serve.speed import EIGHT, measure_eight, measure_grid, measure_overhead
from mplus_ray.bench.serve.world import BenchTenant, Founder
from mplus_ray.model import MPlus
from mplus_ray.services.embedded import Embedded
from mplus_ray.services.settings import Settings


@dataclass(frozen=True)
class Extent:
    """How much is measured.

    Attributes:
        tenants: that are asked, one of them or all.
        characters: of each one's text; a token is about three.
        samples: questions for each line of the speeds, at least.
        tokens: of an answer whose length is fixed.
        overhead: questions asked three ways.
        eight: questions of each arm in a round of eight at a time against one; `rounds`: of those.
        tiers, cold: questions to a memory in each tier.
        kills: of the reader.
        minutes: of the mixed load.
        reads: of what was just written; `reads_minutes`: that these may take at most.
        rounds: how often each of a group's measurements is repeated.
        reads_minutes: that reading back what was just written may take.
    """

    tenants: int
    characters: int
    samples: int
    tokens: int
    overhead: int
    eight: int
    rounds: int
    tiers: int
    cold: int
    kills: int
    minutes: float
    reads: int
    reads_minutes: float


FULL = Extent(
    tenants=32,
    characters=24_000,
    samples=320,
    tokens=32,
    overhead=300,
    eight=96,
    rounds=5,
    tiers=20,
    cold=5,
    kills=5,
    minutes=30.0,
    reads=10_000,
    reads_minutes=60.0,
)
QUICK = Extent(
    tenants=32,
    characters=2_400,
    samples=32,
    tokens=16,
    overhead=40,
    eight=32,
    rounds=2,
    tiers=5,
    cold=2,
    kills=1,
    minutes=1.0,
    reads=200,
    reads_minutes=5.0,
)


@dataclass
class Run:
    """One run in a temporary folder.

    Attributes:
        extent: how much is measured.
        checkpoint: a folder or hub id.
        folder: where everything is written.
        say: is told what is going on.
        machine: what it runs on, as it is reported.
        detail: the figures so far.
    """

    extent: Extent
    checkpoint: str
    folder: Path
    say: Callable[[str], None]
    machine: dict[str, Any] = field(default_factory=dict)
    detail: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        cores = len(os.sched_getaffinity(0))
        self.place = ServerFolder(self.folder / "data", self.checkpoint, max(1, cores // 2))
        torch.set_num_threads(self.place.threads)  # as many as the service's reader
        self.model = MPlus.load(self.checkpoint)
        self.texts = Texts()

    def everything(self) -> dict[str, Any]:
        """All figures, in the form of `mplus bench serve --json`."""
        device, dtype = self.model.networks.reader.device, self.model.networks.reader.dtype
        # Others at work on the same cores make every figure worse than it is.
        self.machine = {
            **describe(device, dtype),
            "load_average_before": os.getloadavg()[0],
            "reader_threads": self.place.threads,
        }
        roofline = measure_roofline(device, dtype).as_dict()
        with installation(self.place.folder, self.model) as system:
            self.say("starting the service")
            with serving(self.place) as server:
                founder = Founder.of(server, self.texts)
                members, grown = self._found(founder)
                self._speed(server, system, members)
                self._killed(server, members)
                self._reads(server, founder)
            self._tiers(system, founder.key, members)
            self._mixed(system, founder.key, members, grown)
        return {
            **summary(self.detail),
            "machine": self.machine,
            "commit": self.machine["commit"],
            "roofline": roofline,
            "extent": asdict(self.extent),
            "detail": self.detail,
        }

    def _found(self, founder: Founder) -> tuple[list[BenchTenant], BenchTenant]:
        """Those who are asked, and one as large as any will be in the mixed load."""
        self.say("documents")
        characters = self.extent.characters
        names = [f"tenant-{number}" for number in range(self.extent.tenants)]
        members = founder.found(names, characters)
        (grown,) = founder.found(["grown"], characters + LIFE * CHARACTERS)
        return members, grown

    def _speed(self, server: Server, system: Embedded, members: list[BenchTenant]) -> None:
        extent = self.extent
        self.say("time to first token, tokens a second")
        self._measure(
            "speed", server, lambda c: measure_grid(c, members, extent.samples, extent.tokens)
        )
        with bare_reader(system, [member.name for member in members]) as bare:
            self.say("overhead")
            self._measure(
                "overhead",
                server,
                lambda c: measure_overhead(c, bare, members[:EIGHT], extent.overhead),
            )
            self.say("eight at once")
            count, tokens, rounds = extent.eight, extent.tokens, extent.rounds
            self._measure(
                "eight",
                server,
                lambda c: measure_eight(c, bare, members, count, tokens, rounds),
            )

    def _killed(self, server: Server, members: list[BenchTenant]) -> None:
        self.say("a reader killed")
        kills, tokens = self.extent.kills, self.extent.tokens
        self._measure("killed", server, lambda c: measure_killed(c, server, members, kills, tokens))

    def _reads(self, server: Server, founder: Founder) -> None:
        self.say("min_step")
        reads, seconds = self.extent.reads, 60 * self.extent.reads_minutes
        self._measure("reads", server, lambda c: measure_reads(c, founder, reads, seconds))

    def _tiers(self, system: Embedded, operator: str, members: list[BenchTenant]) -> None:
        self.say("warm, host, disk and cold")
        asked = members[: tiers.TENANTS]
        plans = plans_of(system, [member.name for member in asked])
        budgets = tiers.one_prepared(self.model, list(plans.values()))
        rounds, cold = self.extent.tiers, self.extent.cold
        with serving(self.place, *_options(budgets)) as server:
            self._measure(
                "tiers",
                server,
                lambda c: tiers.measure_tiers(c, operator, asked, system, rounds, cold),
            )

    def _mixed(
        self, system: Embedded, operator: str, members: list[BenchTenant], grown: BenchTenant
    ) -> None:
        minutes, characters = self.extent.minutes, self.extent.characters
        self.say(f"questions and documents for {minutes:g} minutes")
        plans = plans_of(system, [member.name for member in (*members, grown)])
        budgets = half_of(self.model, list(plans.values()))
        with serving(self.place, *_options(budgets)) as server:
            founder = Founder(server.url, operator, self.texts)
            self._measure(
                "mixed",
                server,
                lambda c: measure_mixed(c, self.place, founder, members, characters, minutes),
            )

    def _measure(
        self,
        name: str,
        server: Server,
        part: Callable[[Client], Coroutine[Any, Any, dict[str, Any]]],
    ) -> None:
        async def measure() -> dict[str, Any]:
            async with Client(server.url) as client:
                return await part(client)

        self.detail[name] = asyncio.run(measure())


def summary(detail: dict[str, Any]) -> dict[str, Any]:
    """The figures that are compared from run to run.

    `speedup_8` is of eight tenants with a question each, `back_seconds` the longest of all kills,
    `tiers_ms` are medians to the first token.
    """
    speed = detail["speed"]

    def chosen(part: str, *names: str) -> dict[str, Any]:
        return {name: detail[part][name] for name in names}

    def by_arm(figure: str, *names: str) -> dict[str, Any]:
        return {arm: {name: found[figure][name] for name in names} for arm, found in speed.items()}

    eight = detail["eight"]["eight_tenants"]
    return {
        "time_to_first_token_ms": by_arm("first_token_ms", "p50", "p99"),
        "tokens_per_second": by_arm("tokens_per_second", "p50", "p99", "total"),
        "overhead_ms": chosen("overhead", "p50", "p99", "service", "bare", "whole"),
        "speedup_8": {way: spread["median"] for way, spread in eight.items()},
        "tiers_ms": tiers.medians(detail["tiers"]),
        "reader_killed": chosen("killed", "failed", "in_flight", "back_seconds"),
        "mixed": chosen("mixed", "minutes", "questions", "documents", "errors", "memory_growth"),
        "min_step": chosen("reads", "asked", "honoured"),
    }


def main(
    quick: bool = False, checkpoint: str | None = None, minutes: float | None = None
) -> dict[str, Any]:
    """Measure, print and return.

    Args:
        minutes: of the mixed load, if not as many as `quick` says.

    Raises:
        MPlusError: something could not be measured. Nothing is left running.
    """
    torch.manual_seed(0)
    for name in ("alembic", "httpx"):
        logging.getLogger(name).setLevel(logging.WARNING)
    extent = QUICK if quick else FULL
    if minutes is not None:
        extent = replace(extent, minutes=minutes)
    source = Settings.read(checkpoint=checkpoint).checkpoint
    with _terminable(), tempfile.TemporaryDirectory(prefix="mplus-bench-") as folder:
        run = Run(extent, source, Path(folder), _say)
        try:
            result = run.everything()
        finally:  # an hour's figures are worth seeing, also if the last one is missing
            show({"machine": run.machine, "detail": run.detail})
    return result


def _options(budgets: tuple[int, int]) -> tuple[str, ...]:
    device, host = budgets
    return ("--device-memory", str(device), "--host-memory", str(host))


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM ends the benchmark as Ctrl-C does, and with it the service."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _say(part: str) -> None:
    print(f"measuring {part}", file=sys.stderr)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main("--quick" in sys.argv), indent=1) + "\n")
