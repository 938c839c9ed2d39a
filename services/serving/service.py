"""One process that runs the whole service: its Ray, the application, and the writers."""

from __future__ import annotations

import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

from mplus_ray.services.serving.deployment import Address, Deployment, running
from mplus_ray.services.serving.first_keys import FirstKeys, first_keys
from mplus_ray.services.serving.haproxy.settings import haproxy
from mplus_ray.services.serving.placement import (
    ResourceRequest,
    check_open_files,
    check_reach,
    free_port,
)
from mplus_ray.services.serving.process import log_pipe
from mplus_ray.services.serving.process.supervision import (
    Supervisor,
    abandon,
    answers,
    ray_processes,
    supervised,
)

if TYPE_CHECKING:
    from ray.serve import Application

    from mplus_ray.pipeline.installation import Installation
    from mplus_ray.pipeline.ledger.ledger import Ledger
    from mplus_ray.pipeline.workers.fleet import Fleet, Scale
    from mplus_ray.pipeline.workers.ray_worker import Needs
    from mplus_ray.services.cross_origin import CrossOrigin
    from mplus_ray.services.serving.application import Readership
    from mplus_ray.services.serving.process.signals import Signals
    from mplus_ray.services.webhooks.hosts import WebhookHosts

_TICK_SECONDS = 0.5
_READY_SECONDS = 0.1  # between two looks at whether it is
_METRICS_SECONDS = 5.0  # as old as the writers' figures may be at a scrape
_WRITERS_SECONDS = 7.0  # in which writers commit what they have, before they are killed


@dataclass(frozen=True)
class ServiceSpec:
    """What is to be run.

    Attributes:
        writers: None leaves memorizing to others, see `mplus memorize`.
        ray_address: of a cluster; None starts a Ray of this machine.
        installation: whose tenants are served.
        model_name: as OpenAI's clients call it.
        address: where it listens.
        readership: how many readers, and what each may hold.
        demand: CPUs and GPUs.
        cross_origin: which web pages of other origins may call; None for none.
        webhook_hosts: that webhooks may have beside those of the internet; None for none.
    """

    installation: Installation
    model_name: str
    address: Address
    readership: Readership
    writers: Scale | None
    demand: ResourceRequest
    ray_address: str | None = None
    cross_origin: CrossOrigin | None = None
    webhook_hosts: WebhookHosts | None = None


@dataclass
class Service:
    """Call `run` once, in the main thread.

    Args:
        report: is told what is going on, in a few words.
        wanted: what is to be run.
        ledger: looked into for what waits.
        signals: end it.
    """

    wanted: ServiceSpec
    ledger: Ledger
    signals: Signals
    report: Callable[[str], None]

    def run(
        self, on_keys: Callable[[FirstKeys], None], on_ready: Callable[[Address], None]
    ) -> None:
        """Start, tell when requests are answered, and go on until a signal comes.

        Raises:
            MPlusError: it cannot start; nothing is left running.
            KeyboardInterrupt: the signal came before it was ready.
        """
        address = self._checked_address()
        self.report("starting Ray")
        supervisor = Supervisor({})
        with (
            log_pipe.log_pipe(),
            self._on_ray() as demand,
            supervised(supervisor, abandon),
        ):
            if not self._cluster:
                supervisor.processes = ray_processes()
            self.signals.take()
            self.signals.check()
            application = self._application(demand)
            self.report(f"loading {self.wanted.installation.checkpoint}")
            with (
                running(application, address, self._cluster) as service,
                self._fleet(demand.writer) as fleet,
            ):
                if fleet is not None:
                    fleet.tick()  # the first writer loads while the readers do
                keys = first_keys(self.ledger, service.card())
                if keys is not None:
                    on_keys(keys)
                self._wait_until_ready(service, address)
                self.signals.started()
                on_ready(address)
                supervisor.healthy = partial(answers, address.url)
                self._go_on(service, fleet)
                supervisor.healthy = None
                self.report("stopping")
                self._end(service, fleet)

    @property
    def _cluster(self) -> bool:
        return self.wanted.ray_address is not None

    def _checked_address(self) -> Address:
        """A cluster's port may be taken by its own Serve; a free one is found here, and
        taken on every node."""
        check_open_files()
        host, port = self.wanted.address.host, self.wanted.address.port
        return Address(host, port if port and self._cluster else free_port(host, port))

    @contextmanager
    def _on_ray(self) -> Iterator[ResourceRequest]:
        """A connection to Ray, and what everybody gets there."""
        from mplus_ray.pipeline.ray_cluster import local_ray, ray_at

        demand = self.wanted.demand
        if self._cluster:
            with ray_at(self.wanted.ray_address):
                import ray

                alive = [node for node in ray.nodes() if node["Alive"]]
                check_reach(self.wanted.installation, len(alive))
                yield demand.settled(cpus=demand.readers + demand.writers, gpus=0)
            return
        # One thread less between replicas; here, outside a coroutine, Serve needs it, and it has
        # read its environment when it was imported.
        os.environ.setdefault("RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP", "0")
        cores = len(os.sched_getaffinity(0))
        logical = max(cores, demand.settled(cores, gpus=0).cpus)
        # What readers hold is bounded; they are not to go for the memory that others take.
        with (
            haproxy(self.wanted.address.host),
            local_ray(cpus=logical, watch_memory=False) as found,
        ):
            yield demand.settled(cores, found.gpus)

    def _application(self, demand: ResourceRequest) -> Application:
        from mplus_ray.services.serving.application import application

        wanted = self.wanted
        return application(
            wanted.installation,
            wanted.model_name,
            wanted.readership,
            needs=demand.reader,
            repairing=demand.writer,
            cross_origin=wanted.cross_origin,
            webhook_hosts=wanted.webhook_hosts,
        )

    def _wait_until_ready(self, service: Deployment, address: Address) -> None:
        self.signals.check()
        while not (service.deployed() and _ready(address)):
            time.sleep(_READY_SECONDS)
            self.signals.check()

    @contextmanager
    def _fleet(self, needs: Needs) -> Iterator[Fleet | None]:
        """The writers; none are left at the end."""
        from mplus_ray.pipeline.workers.fleet import Fleet
        from mplus_ray.pipeline.workers.ray_worker import RemoteWorker

        scale = self.wanted.writers
        if scale is None:
            yield None
            return
        numbers, installation, slots = count(1), self.wanted.installation, scale.slots

        def start() -> RemoteWorker:
            name = f"writer-{next(numbers)}"
            return RemoteWorker(name, installation, needs, slots, log_pipe.configure)

        fleet = Fleet(self.ledger, start, scale)
        try:
            yield fleet
        finally:
            fleet.stop(0.0)

    def _go_on(self, service: Deployment, fleet: Fleet | None) -> None:
        """Look after the writers until a signal comes. Serve looks after the rest itself."""
        told: Future[None] | None = None
        next_telling = 0.0
        with ThreadPoolExecutor(1) as teller:
            while not self.signals.stop.is_set():
                if fleet is not None:
                    fleet.tick()
                    if time.monotonic() >= next_telling and (told is None or told.done()):
                        told = teller.submit(_tell, service, fleet)
                        next_telling = time.monotonic() + _METRICS_SECONDS
                self.signals.stop.wait(_TICK_SECONDS)

    def _end(self, service: Deployment, fleet: Fleet | None) -> None:
        """Requests are answered while writers commit."""
        hurry = self.signals.hurry
        with ThreadPoolExecutor(1) as other:
            other.submit(service.drain, hurry)
            if fleet is not None:
                fleet.stop(_WRITERS_SECONDS, hurry)


def _tell(service: Deployment, fleet: Fleet) -> None:
    service.note_writers({writer.name: writer.metrics() for writer in list(fleet.writers)})


def _ready(address: Address) -> bool:
    try:
        with urllib.request.urlopen(f"{address.url}/readyz", timeout=5):
            return True
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False
