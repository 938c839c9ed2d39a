"""A `Worker` in a Ray actor, and the fleet's hold on it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mplus_ray.model.errors import MPlusError
from mplus_ray.pipeline.installation import Installation
from mplus_ray.pipeline.ledger.heads.lease_owner import process_owner
from mplus_ray.pipeline.workers.fleet import WorkerState
from mplus_ray.pipeline.writing.write_pipeline import MAX_BATCH

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from mplus_ray.pipeline.writing.observer import Observer


Prepare = Callable[[], None] | None


@dataclass(frozen=True)
class Needs:
    """What Ray keeps for one writer; where there is no room, an autoscaler brings a node.

    Attributes:
        cpus, gpus: how many, or which share of one.
        resources: others by name, with the amount of each.
    """

    cpus: float = 1.0
    gpus: float = 0.0
    resources: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Started:
    """A writer that has begun: what its leases' owners begin with, its weights, its process id.

    Attributes:
        owner: what its leases' owners begin with.
        fingerprint: of its weights.
        pid: its process id.
    """

    owner: str
    fingerprint: str
    pid: int


class _WorkerActor:
    """Its worker runs in a thread, so that it can be asked how it is."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self._registry: CollectorRegistry | None = None

    def start(self, installation: Installation, slots: int, prepare: Prepare) -> Started:
        """Not in the constructor: there an error would be the actor's death."""
        import os

        if prepare is not None:
            prepare()

        from mplus_ray.pipeline.workers.worker import Worker

        engine = installation.engine()
        worker = Worker(engine, slots, self._observer())
        self._thread = threading.Thread(target=self._run, args=(worker,), daemon=True)
        self._thread.start()
        return Started(process_owner(), engine.fingerprint, os.getpid())

    def wait(self, seconds: float) -> bool:
        """Whether it goes on after so many seconds, or earlier when it ended."""
        assert self._thread is not None
        self._thread.join(seconds)
        if self._error is not None:
            raise self._error
        return self._thread.is_alive()

    def stop(self) -> None:
        self._stop.set()

    def metrics(self) -> str:
        """In Prometheus's text format."""
        from mplus_ray.pipeline.reports.metrics import exposition

        return exposition(self._registry) if self._registry else ""

    def _observer(self) -> Observer:
        from prometheus_client import CollectorRegistry

        from mplus_ray.pipeline.reports.metrics import Metrics
        from mplus_ray.pipeline.writing.observer import LoggingObserver, Observers

        self._registry = CollectorRegistry()
        return Observers([Metrics(self._registry), LoggingObserver()])

    def _run(self, worker: Any) -> None:
        try:
            worker.run(self._stop)
        except BaseException as error:  # noqa: BLE001 - handed to the caller
            self._error = error


class RemoteWorker:
    """A writer in a Ray actor, as the fleet holds it."""

    def __init__(
        self,
        name: str,
        installation: Installation,
        needs: Needs,
        slots: int = MAX_BATCH,
        prepare: Prepare = None,
    ) -> None:
        """
        Args:
            prepare: called in its process before anything else, for example to have it log.
        """
        import ray  # it reads its environment when it is imported

        decorate: Any = ray.remote(
            num_cpus=needs.cpus, num_gpus=needs.gpus, resources=dict(needs.resources)
        )
        # Several threads: it is asked to stop while somebody waits for it.
        actor = decorate(_WorkerActor).options(max_concurrency=4)
        self.name = name
        self.started: Started | None = None
        self._actor = actor.remote()
        self._starting = self._actor.start.remote(installation, slots, prepare)
        self._waiting: Any = None
        self._stopping = False

    @property
    def owner(self) -> str:
        return self.started.owner if self.started else ""

    def metrics(self, seconds: float = 1.0) -> str:
        """What the writer counts, in Prometheus's text format; "" if it does not say in time."""
        import ray
        from ray.exceptions import RayError

        try:
            return str(ray.get(self._actor.metrics.remote(), timeout=seconds))
        except RayError:
            return ""

    @property
    def fingerprint(self) -> str:
        return self.started.fingerprint if self.started else ""

    def poll(self) -> WorkerState:
        if self.started is None:
            if not _ready(self._starting):
                return WorkerState.STOPPING if self._stopping else WorkerState.STARTING
            found = self._get(self._starting, fatal=not self._stopping)
            if not isinstance(found, Started):
                return WorkerState.GONE
            self.started = found
        if self._waiting is None:
            self._waiting = self._actor.wait.remote(1.0)
        if _ready(self._waiting):
            alive = self._get(self._waiting)
            if not alive:
                self.kill()
                return WorkerState.GONE
            self._waiting = self._actor.wait.remote(1.0)
        return WorkerState.STOPPING if self._stopping else WorkerState.WORKING

    def stop(self) -> None:
        if self.started is None:
            self.kill()  # nothing is begun
        elif not self._stopping:
            self._actor.stop.remote()
        self._stopping = True

    def kill(self) -> None:
        import ray

        ray.kill(self._actor)

    def _get(self, reference: Any, fatal: bool = False) -> Any:
        """The value, or None if the actor, its process or its node is gone."""
        import ray
        from ray.exceptions import RayActorError, RayError, RayTaskError

        try:
            return ray.get(reference)
        except RayTaskError as error:
            if fatal and isinstance(error.cause, MPlusError):
                raise error.cause from error
            return None
        except (RayActorError, RayError):
            return None


def _ready(reference: Any) -> bool:
    import ray

    return bool(ray.wait([reference], timeout=0)[0])
