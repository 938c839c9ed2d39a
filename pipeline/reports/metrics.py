"""Figures for Prometheus: what writers do, and what the ledger says still waits.

No label says whose the work is: a tenant is not to learn of another, and the number of series
must not grow with tenants. Every metric is in the table of docs/OPERATIONS.md.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIServer

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
    start_http_server,
)
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from mplus_ray.model.errors import InvalidInputError, StorageError
from mplus_ray.pipeline.ledger.tenant_scope import now
from mplus_ray.pipeline.reports.status import holders

if TYPE_CHECKING:
    from mplus_ray.pipeline.ledger.ledger import Ledger
    from mplus_ray.pipeline.writing.observer import Batch, Commit

STAGES = ("wait", "forward", "seal", "ledger")

_STAGE_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_DELAY_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200, 86400)

_log = logging.getLogger(__name__)


class Metrics:
    """An `Observer` that counts what one writer does.

    Counters begin at zero with the process; a rate over them survives that.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._open: set[str] = set()
        self._lock = threading.Lock()

        def counter(name: str, help_text: str) -> Counter:
            return Counter(name, help_text, registry=registry)

        self._documents = counter("mplus_memorized_documents", "Documents that became answerable.")
        self._chunks = counter("mplus_memorized_chunks", "Chunks that became answerable.")
        self._tokens = counter("mplus_memorized_tokens", "Tokens that became answerable.")
        self._pass_chunks = counter("mplus_pass_chunks", "Chunks that forward passes took.")
        self._pass_tokens = counter("mplus_pass_tokens", "Tokens that forward passes took.")
        self._pass_room = counter("mplus_pass_room", "Chunks that forward passes had room for.")
        self._lost = counter("mplus_leases_lost", "Tenants that another writer took over.")
        self._failures = Counter(
            "mplus_failures", "Tenants left alone for a while.", ["error"], registry=registry
        )
        self._tenants = Gauge("mplus_tenants_open", "Tenants claimed now.", registry=registry)
        self._stages = Histogram(
            "mplus_stage_seconds",
            "Time of a pass (wait for chunks, forward) and of a commit (seal files, ledger).",
            ["stage"],
            registry=registry,
            buckets=_STAGE_SECONDS,
        )
        for stage in STAGES:
            self._stages.labels(stage)  # there from the first scrape on
        self._answerable = Histogram(
            "mplus_answerable_seconds",
            "From the acknowledgement of a document to its last chunk being answerable.",
            registry=registry,
            buckets=_DELAY_SECONDS,
        )
        self._claimed = Histogram(
            "mplus_claimed_seconds",
            "How long the oldest chunk of a tenant had waited when the tenant was claimed.",
            registry=registry,
            buckets=_DELAY_SECONDS,
        )

    def batched(self, batch: Batch) -> None:
        self._pass_chunks.inc(batch.tenants)
        self._pass_tokens.inc(batch.tokens)
        self._pass_room.inc(batch.room)
        self._stages.labels("wait").observe(batch.waited)
        self._stages.labels("forward").observe(batch.forward)

    def committed(self, commit: Commit) -> None:
        self._chunks.inc(commit.steps)
        self._tokens.inc(commit.tokens)
        self._documents.inc(len(commit.delays))
        self._stages.labels("seal").observe(commit.seal)
        self._stages.labels("ledger").observe(commit.ledger)
        for delay in commit.delays:
            self._answerable.observe(max(0.0, delay))  # clocks of two machines may differ

    def opened(self, tenant: str, waited: float) -> None:
        self._claimed.observe(max(0.0, waited))
        with self._lock:
            self._open.add(tenant)
            self._tenants.set(len(self._open))

    def closed(self, tenant: str) -> None:
        # Told once or twice, also after `lost` or `failed`: a set counts right.
        with self._lock:
            self._open.discard(tenant)
            self._tenants.set(len(self._open))

    def lost(self, tenant: str) -> None:
        self._lost.inc()
        self.closed(tenant)

    def failed(self, tenant: str, error: Exception, again_in: float) -> None:
        self._failures.labels(type(error).__name__).inc()
        self.closed(tenant)


class LedgerMetrics(Collector):
    """What the ledger says at the moment of a scrape; once per installation, not per writer."""

    def __init__(self, ledger: Ledger, clock: Callable[[], float] = now) -> None:
        self._ledger = ledger
        self._clock = clock

    def collect(self) -> Iterator[Metric]:
        try:
            families = list(self._read())
        except StorageError:
            # Its message can quote statements, and there is no tenant to tell it about.
            _log.warning("the ledger could not be read for metrics", exc_info=True)
            families = []
        up = "1 if the ledger could be read; without it the gauges that come from it are left out."
        yield GaugeMetricFamily("mplus_ledger_up", up, value=bool(families))
        yield from families

    def _read(self) -> Iterator[Metric]:
        moment = self._clock()
        tenants = self._ledger.tenants()
        waits = self._ledger.backlog()
        writers = [holder for holder in holders(self._ledger, moment) if not holder.gone]
        failed = sum(tally.failed for tally in self._ledger.tallies().values())
        chunks = sum(tenant.chunks for tenant in tenants)
        tokens = sum(tenant.tokens for tenant in tenants)
        live = sum(tenant.documents for tenant in tenants)
        # Waiting ones may be on their way out and then are not among the live ones.
        documents = {
            "waiting": waits.documents,
            "memorized": max(0, live - waits.documents),
            "failed": failed,
        }
        memorized = {"waiting": waits.tokens, "memorized": max(0, tokens - waits.tokens)}
        steps = {"waiting": waits.chunks, "memorized": max(0, chunks - waits.chunks)}
        yield _by_state("mplus_documents", "Documents of all tenants.", documents)
        yield _by_state("mplus_chunks", "Chunks of all tenants.", steps)
        yield _by_state("mplus_tokens", "Tokens of all tenants.", memorized)
        for name, help_text, value in (
            ("mplus_tenants", "Tenants.", len(tenants)),
            ("mplus_writers", "Holders of leases that are not known to be gone.", len(writers)),
            ("mplus_backlog_tenants", "Tenants with chunks that wait.", waits.tenants),
            (
                "mplus_webhook_waiting",
                "Events that webhooks are still to be told of.",
                self._ledger.deliveries.waiting(),
            ),
            ("mplus_backlog_forgets", "Forget requests that are not carried out.", waits.forgets),
            (
                "mplus_backlog_oldest_seconds",
                "Since the oldest waiting document was acknowledged; 0 if none waits.",
                waits.oldest,
            ),
        ):
            yield GaugeMetricFamily(name, help_text, value=value)


class WriterMetrics(Collector):
    """The metrics of writers in other processes, each sample with its `writer`.

    Args:
        read: the exposition texts at this moment, by the writers' names.
    """

    def __init__(self, read: Callable[[], Mapping[str, str]]) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        families: dict[str, Metric] = {}
        for writer, text in sorted(self._read().items()):
            for found in text_string_to_metric_families(text):
                if found.name.endswith("_created"):  # of counters; it tells nothing here
                    continue
                new = Metric(found.name, found.documentation, found.type)
                family = families.setdefault(found.name, new)
                for sample in found.samples:
                    labels = {**sample.labels, "writer": writer}
                    family.add_sample(sample.name, labels, sample.value)
        yield from families.values()


def exposition(registry: CollectorRegistry) -> str:
    """All metrics of a registry in Prometheus' text format."""
    return generate_latest(registry).decode()


def merge(texts: Mapping[str, str]) -> str:
    """The expositions of several writers as one, each sample with a label `writer`."""
    registry = CollectorRegistry()
    registry.register(WriterMetrics(lambda: texts))
    return exposition(registry)


def serve(registry: CollectorRegistry, port: int, address: str = "127.0.0.1") -> WSGIServer:
    """Answer scrapes at http://address:port/metrics until the server's `shutdown`.

    Args:
        port: 0 takes a free one, which is the server's `server_port`.

    Raises:
        InvalidInputError: the port is taken, or not this user's to take.
    """
    disable_created_metrics()  # a second series beside each counter, which nothing reads
    try:
        server, _ = start_http_server(port, address, registry)
    except (OSError, OverflowError) as error:
        raise InvalidInputError(
            f"metrics cannot be served at {address}:{port}: {error}; give another port"
        ) from error
    return server


def _by_state(name: str, help_text: str, values: Mapping[str, int]) -> Metric:
    family = GaugeMetricFamily(name, help_text, labels=["state"])
    for state, value in values.items():
        family.add_metric([state], value)
    return family
