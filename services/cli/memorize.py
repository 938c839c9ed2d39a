"""`mplus memorize`: writers that bring every tenant's memory up to its log."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Annotated

import typer

from mplus_ray.services.cli.options import (
    CheckpointOption,
    DataOption,
    JsonOption,
    RayAddressOption,
    bounds,
)

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from mplus_ray.pipeline.workers.fleet import Scale
    from mplus_ray.pipeline.workers.ray_worker import Needs
    from mplus_ray.services.embedded import Embedded

_TICK_SECONDS = 0.5


def memorize(
    writers: Annotated[
        str | None,
        typer.Option(
            metavar="MIN:MAX",
            help="Writers as Ray actors, as many as the backlog wants; by default one, in this "
            "process and without Ray.",
            show_default=False,
        ),
    ] = None,
    until_idle: Annotated[
        bool, typer.Option("--until-idle", help="End when nothing waits any more.")
    ] = False,
    slots: Annotated[
        int, typer.Option(min=1, help="Tenants that a writer takes into one forward pass.")
    ] = 8,
    ray_address: RayAddressOption = None,
    cpus: Annotated[float, typer.Option(min=0, help="Of one writer, for Ray.")] = 1.0,
    gpus: Annotated[float, typer.Option(min=0, help="Of one writer, for Ray.")] = 0.0,
    metrics_port: Annotated[
        int | None,
        typer.Option(
            metavar="PORT", help="Serve metrics for Prometheus on this port.", show_default=False
        ),
    ] = None,
    data: DataOption = None,
    checkpoint: CheckpointOption = None,
    json: JsonOption = None,
) -> None:
    """Memorize what waits, for all tenants in turn, and forget what was asked for.

    Goes on until Ctrl-C, which lets it commit what it has begun. Any number of these may run on
    one ledger; each tenant is one writer's at a time. What `mplus ingest --no-wait` took in is
    memorized here.
    """
    from mplus_ray.pipeline.workers.fleet import Scale
    from mplus_ray.pipeline.workers.ray_worker import Needs
    from mplus_ray.services.cli.interrupts import stopped_by_signals
    from mplus_ray.services.cli.output import human, write_json
    from mplus_ray.services.embedded import Embedded
    from mplus_ray.services.settings import Settings

    settings = Settings.read(data, checkpoint)
    began, stop = time.monotonic(), threading.Event()
    with Embedded(settings, write_only=True) as system, stopped_by_signals(stop, wanted=True):
        before = _memorized(system)
        run = _Run(system, stop, until_idle, metrics_port)
        if writers is None:
            run.here(slots)
        else:
            smallest, largest = bounds("--writers", writers)
            scale = Scale(smallest, largest, slots)
            run.on_ray(scale, Needs(cpus=cpus, gpus=gpus), ray_address)
        result = {
            "chunks": _memorized(system) - before,
            "seconds": round(time.monotonic() - began, 3),
            "waiting": system.ledger.backlog().chunks,
        }
    write_json(json, result)
    human(json).print(
        f"{result['chunks']:,} chunks memorized in {result['seconds']:.1f} s, "
        f"{result['waiting']:,} wait"
    )


@dataclass(frozen=True)
class _Run:
    """One call of the command."""

    system: Embedded
    stop: threading.Event
    until_idle: bool
    metrics_port: int | None

    def here(self, slots: int) -> None:
        """One writer in this process."""
        from prometheus_client import CollectorRegistry

        from mplus_ray.pipeline.reports.metrics import Metrics
        from mplus_ray.pipeline.workers.worker import Worker
        from mplus_ray.pipeline.writing.observer import LoggingObserver, Observers

        registry = CollectorRegistry()
        observer = Observers([Metrics(registry), LoggingObserver()])
        worker = Worker(self.system.engine, slots, observer)
        with self._metrics(registry):
            if self.until_idle:
                worker.drain(self.stop)
            else:
                worker.run(self.stop)

    def on_ray(self, scale: Scale, needs: Needs, address: str | None) -> None:
        """Writers as actors; ended, also by an error, they commit what they have."""
        from prometheus_client import CollectorRegistry

        from mplus_ray.pipeline.ray_cluster import ray_at
        from mplus_ray.pipeline.reports.metrics import WriterMetrics
        from mplus_ray.pipeline.workers.fleet import Fleet
        from mplus_ray.pipeline.workers.ray_worker import RemoteWorker
        from mplus_ray.services.serving.process.supervision import (
            Supervisor,
            abandon,
            ray_processes,
            supervised,
        )

        installation, numbers = self.system.installation, count(1)

        def start() -> RemoteWorker:
            return RemoteWorker(f"writer-{next(numbers)}", installation, needs, scale.slots)

        fleet = Fleet(self.system.ledger, start, scale)
        registry = CollectorRegistry()
        registry.register(WriterMetrics(lambda: {w.name: w.metrics() for w in list(fleet.writers)}))
        # A process on a cluster that has lost its raylet would live on and memorize nothing.
        with (
            ray_at(address),
            supervised(Supervisor(ray_processes()), abandon),
            self._metrics(registry),
        ):
            try:
                while not self.stop.is_set():
                    fleet.tick()
                    if self.until_idle and fleet.idle():
                        break
                    self.stop.wait(_TICK_SECONDS)
            finally:
                fleet.stop()

    @contextmanager
    def _metrics(self, registry: CollectorRegistry) -> Iterator[None]:
        """Served while it lasts, with what the ledger says beside what writers count."""
        if self.metrics_port is None:
            yield
            return
        from mplus_ray.pipeline.reports.metrics import LedgerMetrics, serve
        from mplus_ray.services.cli.output import stderr

        registry.register(LedgerMetrics(self.system.ledger))
        server = serve(registry, self.metrics_port)
        stderr().print(f"metrics at http://127.0.0.1:{server.server_port}/metrics")
        try:
            yield
        finally:
            server.shutdown()
            server.server_close()


def _memorized(system: Embedded) -> int:
    return sum(tenant.step for tenant in system.ledger.tenants())
