"""What durable memory costs: appending, reading back, restarting, forgetting, snapshots, bytes.

Where the arithmetic of memorizing has no part in a figure, rows are random numbers
(`bench.fixture.RandomRows`) and go through the writer's own files and commits; figures of
restarts, forgetting and precision are of memories that the checkpoint made of real documents.
"""

from __future__ import annotations

import json
import logging
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from mplus_ray.bench.durable import (
    appends,
    forgetting,
    gathers,
    ingests,
    precision,
    restarts,
    servers,
    sizes,
)
from mplus_ray.bench.durable.show import show
from mplus_ray.bench.fixture import Library, RandomRows, installation, tenant
from mplus_ray.bench.machine import describe, measure_roofline
from mplus_ray.bench.names import TENANT
from mplus_ray.bench.shapes import LLAMA_8B
from mplus_ray.model import MPlus
from mplus_ray.services.settings import Settings


@dataclass(frozen=True)
class Extent:
    """How much is measured.

    Attributes:
        told: tokens of the tenant that the model memorizes and that is restarted and asked.
        again: tokens of the one that is rebuilt from text.
        random: tokens of the long ingest of random rows.
        sizes, s3_sizes: tokens before steps are appended one by one.
        samples: of short figures.
        restarts: processes started for each restart figure.
        precision_steps: memorized three times over, at each precision.
        wide_steps: shards with an 8B model's rows, 38 MB each.
    """

    told: int
    again: int
    random: int
    sizes: tuple[int, ...]
    s3_sizes: tuple[int, ...]
    samples: int
    restarts: int
    precision_steps: int
    wide_steps: int


FULL = Extent(
    told=160_000,
    again=20_000,
    random=1_000_000,
    sizes=(10_000, 100_000, 1_000_000),
    s3_sizes=(10_000, 100_000, 1_000_000),
    samples=200,
    restarts=3,
    precision_steps=1_000,
    wide_steps=24,
)
QUICK = Extent(
    told=10_000,
    again=3_000,
    random=100_000,
    sizes=(10_000, 50_000),
    s3_sizes=(10_000,),
    samples=40,
    restarts=1,
    precision_steps=100,
    wide_steps=11,
)


@dataclass
class Run:
    """One run of the benchmark in a temporary folder.

    Attributes:
        extent: how much is measured.
        checkpoint: a folder or hub id.
        folder: where everything is written.
        say: is told what is going on.
        result: the figures so far.
    """

    extent: Extent
    checkpoint: str
    folder: Path
    say: Callable[[str], None]
    result: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.model = MPlus.load(self.checkpoint)
        self.random = RandomRows.like(self.model)
        self.library = Library(self.model)

    def everything(self) -> dict[str, Any]:
        """All figures, in the form of `mplus bench memory --json`."""
        device, dtype = self.model.networks.reader.device, self.model.networks.reader.dtype
        self.result["machine"] = describe(device, dtype)
        self.result["extent"] = vars(self.extent)
        self.result["roofline"] = measure_roofline(device, dtype).as_dict()
        with servers.s3() as s3, servers.postgres() as postgres:
            parts: dict[str, Callable[[], Any]] = {
                "ingest": self._ingest,
                "gather": self._gather,
                "rebuild": self._rebuild,
                "restart": lambda: self._restart(s3),
                "snapshot": self._snapshots,
                "bytes": self._bytes,
                "forget": self._forget,
                "append": lambda: self._appends(postgres, s3),
                "precision": lambda: precision.measure_precision(
                    self.model, self.library, self.extent.precision_steps
                ),
            }
            for name, part in parts.items():
                self.say(name)
                began = time.perf_counter()
                self.result[name] = part()
                self.result.setdefault("measured_in_seconds", {})[name] = (
                    time.perf_counter() - began
                )
        return self.result

    def _ingest(self) -> dict[str, Any]:
        """Two ingests in processes of their own; what they leave is measured further."""
        extent = self.extent
        told = ingests.measure_ingest(self._told, self.checkpoint, extent.told, "model")
        return {
            "model": told,
            "random_rows": ingests.measure_ingest(
                self._long, self.checkpoint, extent.random, "random"
            ),
        }

    def _gather(self) -> dict[str, Any]:
        samples = max(8, self.extent.samples // 5)
        with installation(self._told, self.model) as system:
            shards = tenant(system).heads.serving().shards
            narrow = gathers.measure_gather(system.files, shards, self.model.config, samples)
        wide = self.folder / "wide"
        found = gathers.measure_wide_gather(wide, self.extent.wide_steps, max(8, samples // 2))
        shutil.rmtree(wide)
        return {"checkpoint": narrow, "llama_8b_rows": found}

    def _rebuild(self) -> dict[str, Any]:
        with installation(self._again, self.model) as system:
            return forgetting.measure_rebuild(system, self.library, self.extent.again)

    def _restart(self, s3: Callable[[str], str] | None) -> dict[str, Any]:
        samples, rebuilt = self.extent.restarts, self.result["rebuild"]
        local = {
            name: restarts.measure_restart(
                folder, self.checkpoint, cold=name.endswith("cold"), samples=samples
            )
            for name, folder in (
                ("local", self._told),
                ("local_cold", self._told),
                ("long_local", self._long),
                ("long_local_cold", self._long),
            )
        }
        warm = local["local"]
        seconds = warm["tokens"] / rebuilt["tokens_per_second"]
        result: dict[str, Any] = local | {
            "from_text": {
                "seconds_scaled": seconds + (warm["total"] - warm["open_memory"]) / 1e3,
                "scaled_from_tokens": rebuilt["tokens"],
                "seconds_of_the_whole_ingest": self.result["ingest"]["model"]["seconds"],
            }
        }
        if s3 is None:
            return result
        for name, folder, owner in (
            ("s3", self._told, TENANT),
            ("s3_small", self._again, forgetting.REBUILT),
        ):
            result[name] = self._from_s3(s3(name), folder, owner)
        result["rebuilding_wins_below_tokens"] = rebuilding_wins_below(
            result["s3_small"], result["s3"], rebuilt["tokens_per_second"]
        )
        return result

    def _from_s3(self, url: str, folder: Path, owner: str) -> dict[str, Any]:
        """The ledger copied to another data directory, with its rows in a bucket."""
        elsewhere = self.folder / f"s3-{folder.name}"
        elsewhere.mkdir()
        for path in folder.glob("ledger.db*"):
            shutil.copy(path, elsewhere)
        with installation(elsewhere, self.model, store_url=url) as system:
            for path in (folder / "rows").rglob("*.*"):
                name = path.relative_to(folder / "rows").as_posix()
                system.files.put(name, path.read_bytes())
        return restarts.measure_restart(
            elsewhere,
            self.checkpoint,
            url,
            owner=owner,
            cold=True,
            samples=self.extent.restarts,
        )

    def _snapshots(self) -> dict[str, Any]:
        steps = self.result["ingest"]["random_rows"]["steps"]
        with installation(self._told, self.model) as system:
            taken = sizes.measure_snapshots(system)
        return taken | {
            "replay_llama_8b": sizes.measure_replay(LLAMA_8B, sizes.PAPER_STEPS),
            "replay_checkpoint": sizes.measure_replay(self.model.config, steps),
        }

    def _bytes(self) -> dict[str, Any]:
        with installation(self._told, self.model) as system:
            stored = sizes.measure_stored(tenant(system))
        return sizes.measure_bytes(self.folder, self.model.config) | {"as_ingested": stored}

    def _forget(self) -> dict[str, Any]:
        with installation(self._told, self.model) as system:
            return forgetting.measure_forgetting(system)

    def _appends(self, postgres: str | None, s3: Callable[[str], str] | None) -> dict[str, Any]:
        extent = self.extent
        nbytes = self.model.empty_memory().store.step_bytes
        places: dict[str, tuple[dict[str, str], tuple[int, ...]]] = {
            "sqlite_local": ({}, extent.sizes)
        }
        if postgres is not None:
            places["postgresql_local"] = ({"ledger_url": postgres}, extent.sizes)
        if s3 is not None:
            places["sqlite_s3"] = ({"store_url": s3("append")}, extent.s3_sizes)
        result: dict[str, Any] = {
            "step_bytes": nbytes,
            "floor_ms": appends.measure_floor(self.folder, nbytes, extent.samples),
        }
        for name, (urls, tokens) in places.items():
            folder = self.folder / f"append-{name}"
            with installation(folder, self.random, **urls) as system:
                result[name] = appends.measure_appends(system, self.library, tokens, extent.samples)
            shutil.rmtree(folder)
        return result

    @property
    def _told(self) -> Path:
        return self.folder / "told"

    @property
    def _long(self) -> Path:
        return self.folder / "long"

    @property
    def _again(self) -> Path:
        return self.folder / "again"


def rebuilding_wins_below(
    small: dict[str, Any], large: dict[str, Any], rate: float
) -> float | None:
    """Tokens below which memorizing a text is faster than opening its rows; None if it always is.

    Opening takes a fixed time and one for each token; memorizing takes 1 / rate a token.

    Args:
        small, large: restarts with few and with many tokens.
        rate: tokens memorized a second.
    """
    seconds = [part["open_memory"] / 1e3 for part in (small, large)]
    slope = (seconds[1] - seconds[0]) / (large["tokens"] - small["tokens"])
    fixed = max(0.0, seconds[0] - slope * small["tokens"])
    return fixed / (1 / rate - slope) if 1 / rate > slope else None


def main(quick: bool = False, checkpoint: str | None = None) -> dict[str, Any]:
    """Measure, print and return.

    The full extent needs 15 minutes, 8 GB of disk, and 4 GB of memory for the stand-in of S3.
    """
    torch.manual_seed(0)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    source = Settings.read(checkpoint=checkpoint).checkpoint
    with tempfile.TemporaryDirectory(prefix="mplus-bench-") as folder:
        run = Run(QUICK if quick else FULL, source, Path(folder), _say)
        result = run.everything()
    show(result)
    return result


def _say(part: str) -> None:
    print(f"measuring {part}", file=sys.stderr)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main("--quick" in sys.argv), indent=1) + "\n")
