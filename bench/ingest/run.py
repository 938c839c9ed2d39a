"""`mplus bench ingest`: documents arriving, from their acknowledgement to the last commit.

Every rate is beside the forward pass of the same chunks on the same machine in the same run.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from mplus_ray.bench.children import measure_in_child
from mplus_ray.bench.fixture import installation
from mplus_ray.bench.ingest import long, small
from mplus_ray.bench.ingest.latency import measure_idle, measure_loaded
from mplus_ray.bench.ingest.show import show
from mplus_ray.bench.ingest.texts import Texts
from mplus_ray.bench.ingest.throughput import measure_throughput
from mplus_ray.bench.ingest.writers import measure_writers
from mplus_ray.bench.machine import describe, measure_roofline
from mplus_ray.model import MPlus
from mplus_ray.services.settings import Settings

TENANTS = (1, 8, 64)


@dataclass(frozen=True)
class Extent:
    """How much is measured.

    Attributes:
        characters: of the documents of each throughput arm; a token is about three.
        rounds: times that each arm is measured.
        idle, loaded: messages whose way into memory is timed.
        small: documents of a message each.
        small_tenants: whose they are.
        long: tokens of one tenant.
    """

    characters: int
    rounds: int
    idle: int
    loaded: int
    small: int
    small_tenants: int
    long: int


FULL = Extent(
    characters=360_000,
    rounds=5,
    idle=200,
    loaded=120,
    small=10_000,
    small_tenants=100,
    long=1_000_000,
)
QUICK = Extent(
    characters=24_000,
    rounds=2,
    idle=20,
    loaded=15,
    small=200,
    small_tenants=100,
    long=20_000,
)


@dataclass
class Run:
    """One run in a temporary folder.

    Attributes:
        extent: how much is measured.
        checkpoint: a folder or hub id.
        folder: where everything is written.
        say: is told what is going on.
        dialogues: a Parquet file of chat messages; None for sentences of the demo's documents.
        detail: the figures so far.
    """

    extent: Extent
    checkpoint: str
    folder: Path
    say: Callable[[str], None]
    dialogues: Path | None = None
    detail: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.model = MPlus.load(self.checkpoint)
        self.texts = Texts()

    def everything(self) -> dict[str, Any]:
        """All figures, in the form of `mplus bench ingest --json`."""
        device, dtype = self.model.networks.reader.device, self.model.networks.reader.dtype
        # Others at work on the same cores make threads wait for each other, and every rate low.
        machine = {**describe(device, dtype), "load_average_before": os.getloadavg()[0]}
        roofline = measure_roofline(device, dtype).as_dict()
        parts: dict[str, Callable[[], dict[str, Any]]] = {
            "throughput": self._throughput,
            "writers": self._writers,
            "idle": self._idle,
            "loaded": self._loaded,
            "small": self._small,
            "long": self._long,
        }
        for name, part in parts.items():
            self.say(name)
            self.detail[name] = part()
        return {
            **summary(self.detail),
            "machine": machine,
            "roofline": roofline,
            "extent": asdict(self.extent),
            "detail": self.detail,
        }

    def _throughput(self) -> dict[str, Any]:
        extent = self.extent
        return measure_throughput(
            self.folder,
            self.model,
            self.texts,
            TENANTS,
            extent.characters,
            extent.rounds,
            self.say,
        )

    def _writers(self) -> dict[str, Any]:
        extent = self.extent
        return measure_writers(
            self.folder,
            self.checkpoint,
            self.model,
            self.texts,
            extent.characters,
            extent.rounds,
            self.say,
        )

    def _idle(self) -> dict[str, Any]:
        turns = self.texts.turns(self.extent.idle, self.dialogues)
        with installation(self.folder / "idle", self.model) as system:
            return measure_idle(system, turns)

    def _loaded(self) -> dict[str, Any]:
        turns = self.texts.turns(self.extent.loaded, self.dialogues)
        with installation(self.folder / "loaded", self.model) as system:
            return measure_loaded(system, self.texts, turns, self.say)

    def _small(self) -> dict[str, Any]:
        extent, folder = self.extent, self.folder / "small"
        talk = [self.dialogues] if self.dialogues else []
        sizes = (extent.small, extent.small_tenants)
        found = measure_in_child(small.__name__, folder, self.checkpoint, *sizes, *talk)
        shutil.rmtree(folder)
        return found

    def _long(self) -> dict[str, Any]:
        folder = self.folder / "long"
        found = measure_in_child(long.__name__, folder, self.checkpoint, self.extent.long)
        shutil.rmtree(folder)
        return found


def summary(detail: dict[str, Any]) -> dict[str, Any]:
    """The figures that are compared from run to run.

    `tokens_per_second` is from the acceptance of the first document to the last commit,
    `flatness_1m` the last tenth's rate over the first one's of the longest memory, which has
    `flatness_tokens`: a million in full.
    """
    throughput, loaded = detail["throughput"], detail["loaded"]["answerable_ms"]
    arms = {name: arm for name, arm in throughput.items() if name != "forward"}
    idle = detail["idle"]["answerable_ms"]
    return {
        "tokens_per_second": {name: arm["end_to_end"]["median"] for name, arm in arms.items()},
        "forward_only": throughput["forward"]["batch_8"]["median"],
        "share_of_forward": {name: arm["share_of_forward"]["median"] for name, arm in arms.items()},
        "acknowledged_to_answerable_ms": {
            "p50": idle["p50"],
            "p99": idle["p99"],
            "under_load": {"p50": loaded["p50"], "p99": loaded["p99"]},
        },
        "documents_per_second": detail["small"]["documents_per_second"],
        "flatness_1m": detail["long"]["last_to_first"],
        "flatness_tokens": detail["long"]["tokens"],
        "two_writers_speedup": detail["writers"]["speedup"]["median"],
    }


def main(
    quick: bool = False, checkpoint: str | None = None, dialogues: Path | None = None
) -> dict[str, Any]:
    """Measure, print and return.

    Args:
        dialogues: see `Texts.turns`.
    """
    torch.manual_seed(0)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    source = Settings.read(checkpoint=checkpoint).checkpoint
    with tempfile.TemporaryDirectory(prefix="mplus-bench-") as folder:
        extent = QUICK if quick else FULL
        result = Run(extent, source, Path(folder), _say, dialogues).everything()
    show(result)
    return result


def _say(part: str) -> None:
    print(f"measuring {part}", file=sys.stderr)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main("--quick" in sys.argv), indent=1) + "\n")
