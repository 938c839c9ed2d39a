"""The demo: the query service as `mplus serve` runs it, and two tenants who talk to it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console

from mplus_ray.deploy.demo.progress import Progress
from mplus_ray.deploy.demo.replies import DemoReply
from mplus_ray.deploy.demo.report import Report
from mplus_ray.deploy.demo.visit import visit
from mplus_ray.model.checkpoint.hub import checkpoint_name, find_checkpoint
from mplus_ray.model.config import ModelConfig
from mplus_ray.services.cli.output import write_json
from mplus_ray.services.serving.process.environment import set_serve_environment
from mplus_ray.services.settings import Settings

if TYPE_CHECKING:
    from mplus_ray.services.embedded import Embedded
    from mplus_ray.services.serving.deployment import Address
    from mplus_ray.services.serving.first_keys import FirstKeys
    from mplus_ray.services.serving.process.signals import Signals
    from mplus_ray.services.serving.service import ServiceSpec


def run_demo(data: Path, checkpoint: str | None, json: str | None) -> None:
    """Run the service on a free port, visit it, end it, and write what came of it.

    Args:
        data: a new data directory, for this demo alone.
        checkpoint: a folder or hub id; None for the default.
        json: a file for the result as JSON, `-` for standard output; None for none.

    Raises:
        MPlusError: the service cannot start, or refuses a request.
    """
    set_serve_environment(own_ray=True)
    from mplus_ray.services.embedded import Embedded
    from mplus_ray.services.serving.process.signals import Signals
    from mplus_ray.services.serving.service import Service

    settings = Settings.read(data, checkpoint)
    config = ModelConfig.load(find_checkpoint(settings.checkpoint))
    console = Console(stderr=json == "-", highlight=False, soft_wrap=True)
    report = Report(console)
    report.begin(settings.checkpoint, config)
    began = time.monotonic()
    progress = Progress(report.note)

    def note(text: str) -> None:
        report.note(text)
        progress.now(text)

    with Embedded(settings) as system, Signals() as signals, progress:
        visitor = _Visitor(report, progress, signals)
        service = Service(_spec(system, settings.checkpoint), system.ledger, signals, note)
        try:
            service.run(visitor.keys, visitor.ready)
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
    write_json(json, report.end(visitor.result(), time.monotonic() - began, progress.phases))


def _spec(system: Embedded, checkpoint: str) -> ServiceSpec:
    """A reader and a writer, at a free port of this machine. They compute one after the other here,
    so each may have all of its cores."""
    from mplus_ray.pipeline.workers.fleet import Scale
    from mplus_ray.services.serving.application import Readership
    from mplus_ray.services.serving.deployment import Address
    from mplus_ray.services.serving.placement import ResourceRequest
    from mplus_ray.services.serving.service import ServiceSpec

    cores = float(len(os.sched_getaffinity(0)))
    return ServiceSpec(
        installation=system.installation,
        model_name=checkpoint_name(checkpoint),
        address=Address("127.0.0.1", 0),
        readership=Readership(),
        writers=Scale(),
        demand=ResourceRequest(readers=1, writers=1, reader_cpus=cores, writer_cpus=cores),
    )


class _Visitor:
    """Visits the service from a thread once it is ready, and ends it when the visit is over."""

    def __init__(self, report: Report, progress: Progress, signals: Signals) -> None:
        self._report, self._progress, self._signals = report, progress, signals
        self._operator = ""
        self._replies: list[DemoReply] | None = None
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = None

    def keys(self, keys: FirstKeys) -> None:
        self._operator = keys.operator

    def ready(self, address: Address) -> None:
        self._report.ready(address.url)
        work: Callable[[], None] = lambda: self._visit(address.url)  # noqa: E731
        self._thread = threading.Thread(target=work, daemon=True)
        self._thread.start()

    def result(self) -> list[DemoReply]:
        """What the tenants were answered.

        Raises:
            MPlusError: the service refused something.
            Exit: it was ended by Ctrl-C.
        """
        if self._thread is not None:
            self._thread.join()
        if self._replies is None:
            if self._error is not None:
                raise self._error
            raise typer.Exit(130)
        return self._replies

    def _visit(self, url: str) -> None:
        try:
            replies = visit(url, self._operator, self._report, self._progress, self._signals.stop)
            self._replies = replies
        except BaseException as error:  # noqa: BLE001 - raised again by `result`
            self._error = error
        finally:
            self._signals.stop.set()
