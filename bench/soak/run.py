"""`mplus bench soak`: writers that are killed again and again while documents come and go.

Documents of several tenants arrive, are replaced and forgotten, while real writer processes are
ended with SIGKILL at random and started anew. When the time is over and all is memorized, every
tenant's digest has to be that of one undisturbed process that was given the documents that
stayed. What was acknowledged is noted here, apart from the ledger.
"""

from __future__ import annotations

import logging
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from rich.console import Console

from mplus_ray.bench.fixture import installation
from mplus_ray.bench.ingest.texts import Texts
from mplus_ray.bench.machine import describe
from mplus_ray.bench.soak.arrivals import Arrivals, Journal
from mplus_ray.bench.soak.compare import compare
from mplus_ray.bench.soak.writers import Writers
from mplus_ray.model import MPlus
from mplus_ray.services.settings import Settings

_DOCUMENTS_PER_SECOND = 3.0
_SECONDS_BETWEEN_KILLS = 6.0  # on average; starting anew takes some of them
_MOST_WAITING, _MOST_FORGETS = 800, 6  # steps and requests, above which nothing more is sent
_DRAIN_SECONDS = 900.0  # until what waits in the end has to be memorized


@dataclass(frozen=True)
class Soak:
    """One run in a folder of its own.

    Attributes:
        model, checkpoint: loaded, and its folder or hub id for the writers.
        folder: where everything is written.
        seconds: that documents come for.
        seed: of what comes and who is killed.
        writers: how many work at a time.
        say: is told what is going on.
    """

    model: MPlus
    checkpoint: str
    folder: Path
    seconds: float
    seed: int
    writers: int
    say: Callable[[str], None]

    def run(self) -> dict[str, Any]:
        """Disturb, drain, compare; `ok` says whether everything is as it should be."""
        began = time.monotonic()
        soaked = self.folder / "soaked"
        writers = Writers(soaked, self.checkpoint, self.writers)
        with installation(soaked, self.model) as system:
            arrivals = Arrivals(system, Texts(), Random(self.seed), Journal())
            held = 0
            try:
                _ = system.ledger  # there before the first writer looks for it
                held = self._disturb(arrivals, writers)
                drained = self._drain(arrivals, writers)
            finally:
                writers.stop()
            disturbed = time.monotonic() - began
            found = compare(system, self.folder / "undisturbed", arrivals.journal, self.say)
        journal = arrivals.journal
        problems = [*([] if drained else ["not drained"]), *writers.failures, *found["problems"]]
        return {
            "ok": not problems,
            "problems": problems,
            "seed": self.seed,
            "writers": self.writers,
            "kills": writers.kills,
            "kills_at_work": writers.kills_at_work,
            "tenants": len(journal.tenants),
            "documents": journal.accepted,
            "replaced": journal.replaced,
            "repeated": journal.repeated,
            "forgotten": journal.forgotten,
            "held_back": held,
            "steps": found["steps"],
            "seconds": disturbed,
            "seconds_in_all": time.monotonic() - began,
        }

    def _disturb(self, arrivals: Arrivals, writers: Writers) -> int:
        """Until the time is over; returns how many arrivals were held back."""
        clock = Random(self.seed + 1)  # when, apart from what
        now = time.monotonic()
        end, said, held = now + self.seconds, now, 0
        next_kill = now + clock.expovariate(1 / _SECONDS_BETWEEN_KILLS)
        next_send = now
        writers.start()
        while now < end and not writers.hopeless:
            if now >= next_kill:
                writers.kill(clock, [one.owner for one in arrivals.system.ledger.waiting()])
                next_kill = now + clock.expovariate(1 / _SECONDS_BETWEEN_KILLS)
            if now >= next_send:
                if _too_much(*arrivals.waiting()):
                    held += 1
                else:
                    arrivals.send()
                next_send = now + clock.expovariate(_DOCUMENTS_PER_SECOND)
            if now >= said:
                self.say(f"{arrivals.journal.accepted} documents, {writers.kills} kills")
                said += 30
            writers.check()
            now = time.monotonic()
            time.sleep(max(0.0, min(next_kill, next_send, end) - now))
            now = time.monotonic()
        return held

    def _drain(self, arrivals: Arrivals, writers: Writers) -> bool:
        """Whether the writers came to an end with what waits."""
        self.say("draining")
        deadline = time.monotonic() + _DRAIN_SECONDS
        while any(arrivals.waiting()):
            if time.monotonic() > deadline or writers.hopeless:
                return False
            writers.check()
            time.sleep(0.2)
        return True


def _too_much(steps: int, forgets: int) -> bool:
    return steps > _MOST_WAITING or forgets > _MOST_FORGETS


def main(
    minutes: float = 20.0, seed: int = 0, writers: int = 2, checkpoint: str | None = None
) -> dict[str, Any]:
    """Run, print and return.

    Args:
        minutes: during which writers are killed; draining and comparing come after that.
    """
    logging.getLogger("alembic").setLevel(logging.WARNING)
    source = Settings.read(checkpoint=checkpoint).checkpoint
    model = MPlus.load(source)
    reader = model.networks.reader
    with tempfile.TemporaryDirectory(prefix="mplus-soak-") as folder:
        soak = Soak(model, source, Path(folder), 60 * minutes, seed, writers, _say)
        result = {**soak.run(), "machine": describe(reader.device, reader.dtype)}
    _show(result)
    return result


def _say(what: str) -> None:
    print(f"soak: {what}", file=sys.stderr)


def _show(result: dict[str, Any]) -> None:
    console = Console(stderr=True, highlight=False)
    console.print(
        f"{result['kills']} kills of {result['writers']} writers in {result['seconds']:.0f} s, "
        f"{result['kills_at_work']} of them at work; "
        f"{result['documents']} documents of {result['tenants']} tenants "
        f"({result['replaced']} replaced others, {result['forgotten']} were forgotten), "
        f"{result['steps']} steps in the end"
    )
    for problem in result["problems"]:
        console.print(problem, markup=False)
    console.print("every memory is the undisturbed one" if result["ok"] else "NOT as undisturbed")
