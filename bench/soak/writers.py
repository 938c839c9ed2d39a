"""Writer processes to be killed.

`python -m mplus_ray.bench.soak.writers FOLDER CHECKPOINT` is one, which works until SIGTERM.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from mplus_ray.bench.fixture import installation
from mplus_ray.model import MPlus
from mplus_ray.pipeline.workers.worker import Worker
from mplus_ray.services.cli.interrupts import stopped_by_signals

_STOP_SECONDS = 120.0
_MOST_FAILURES = 5  # of writers, after which there is no point in going on


@dataclass
class Writers:
    """Writer processes; one that ends by itself has failed.

    Attributes:
        folder: the data directory.
        checkpoint: a folder or hub id.
        count: how many are to work.
        processes: those that do.
        kills, kills_at_work: how many were killed, and of these, how many while they held a tenant.
        failures: what those said that ended by themselves.
    """

    folder: Path
    checkpoint: str
    count: int
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    kills: int = 0
    kills_at_work: int = 0
    failures: list[str] = field(default_factory=list)

    def start(self) -> None:
        """As many as there should be."""
        while len(self.processes) < self.count:
            with self._said.open("ab") as said:
                self.processes.append(
                    subprocess.Popen(
                        [sys.executable, "-m", __name__, str(self.folder), self.checkpoint],
                        stderr=said,
                        env={**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
                    )
                )

    def kill(self, rng: Random, owners: Iterable[str]) -> None:
        """End one at once; `check` starts another one.

        Args:
            owners: who holds tenants that have work waiting, as leases name them.
        """
        process = self.processes.pop(rng.randrange(len(self.processes)))
        process.kill()
        if process.wait() == -signal.SIGKILL:
            self.kills += 1
            self.kills_at_work += any(f"/{process.pid}/" in owner for owner in owners)
        else:
            self._fail(process)

    def check(self) -> None:
        """Note those that failed, and start others."""
        for process in list(self.processes):
            if process.poll() is not None:
                self.processes.remove(process)
                self._fail(process)
        self.start()

    def stop(self) -> None:
        """Ask all of them to end; one that does not has failed too."""
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            with suppress(subprocess.TimeoutExpired):
                process.wait(_STOP_SECONDS)
            if process.returncode != 0:
                self._fail(process)
                process.kill()
                process.wait()
        self.processes = []

    @property
    def hopeless(self) -> bool:
        """Whether so many failed that others will fail as well."""
        return len(self.failures) >= _MOST_FAILURES

    @property
    def _said(self) -> Path:
        return self.folder / "writers.log"

    def _fail(self, process: subprocess.Popen[bytes]) -> None:
        said = self._said.read_text(errors="replace").splitlines()[-5:]
        self.failures.append(f"a writer ended with {process.returncode}: {' | '.join(said)}")


def _serve(folder: Path, checkpoint: str) -> None:
    """A writer until SIGTERM."""
    stop = threading.Event()
    with (
        stopped_by_signals(stop, wanted=True),
        installation(folder, MPlus.load(checkpoint, write_only=True)) as system,
    ):
        Worker(system.engine).run(stop)


if __name__ == "__main__":
    _serve(Path(sys.argv[1]), sys.argv[2])
