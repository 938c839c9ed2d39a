"""Metrics count what writers do, say what the ledger says, and name nobody."""

from __future__ import annotations

import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from mplus_ray.model.errors import InvalidInputError, StaleLeaseError, StorageError
from mplus_ray.pipeline.ledger.heads.lease_owner import new_owner
from mplus_ray.pipeline.ledger.ledger import Ledger
from mplus_ray.pipeline.reports.metrics import (
    LedgerMetrics,
    Metrics,
    WriterMetrics,
    exposition,
    merge,
    serve,
)
from mplus_ray.pipeline.writing.observer import Batch, Commit, Observer, Observers
from tests.logs import Clock, memorize, put
from tests.paths import ROOT

pytest_plugins = ["tests.postgres"]

TABLE = ROOT / "docs" / "OPERATIONS.md"


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> Metrics:
    return Metrics(registry)


def work(observer: Observer) -> None:
    """Two passes, two commits, a loss and a failure of tenants called t1 to t3."""
    observer.opened("t1", 4.0)
    observer.opened("t2", 40.0)
    observer.opened("t3", 0.0)
    observer.batched(Batch(tenants=3, room=8, tokens=1200, waited=0.002, forward=0.3))
    observer.batched(Batch(tenants=2, room=8, tokens=800, waited=0.0, forward=0.2))
    observer.committed(Commit("t1", 5, 2, 900, seal=0.01, ledger=0.004, delays=(0.4, 3.0)))
    observer.committed(Commit("t2", 9, 2, 700, seal=0.02, ledger=0.004))
    observer.closed("t1")
    observer.lost("t2")
    observer.failed("t3", StorageError("t3 is full"), 5.0)


class TestWriter:
    @pytest.mark.parametrize(
        ("name", "labels", "value"),
        [
            ("mplus_memorized_documents_total", {}, 2),
            ("mplus_memorized_chunks_total", {}, 4),
            ("mplus_memorized_tokens_total", {}, 1600),
            ("mplus_pass_chunks_total", {}, 5),
            ("mplus_pass_tokens_total", {}, 2000),
            ("mplus_pass_room_total", {}, 16),
            ("mplus_stage_seconds_sum", {"stage": "wait"}, 0.002),
            ("mplus_stage_seconds_sum", {"stage": "forward"}, 0.5),
            ("mplus_stage_seconds_sum", {"stage": "seal"}, 0.03),
            ("mplus_stage_seconds_sum", {"stage": "ledger"}, 0.008),
            ("mplus_stage_seconds_count", {"stage": "seal"}, 2),
            ("mplus_answerable_seconds_sum", {}, 3.4),
            ("mplus_answerable_seconds_bucket", {"le": "0.5"}, 1),
            ("mplus_claimed_seconds_bucket", {"le": "5.0"}, 2),
            ("mplus_leases_lost_total", {}, 1),
            ("mplus_failures_total", {"error": "StorageError"}, 1),
            ("mplus_tenants_open", {}, 0),
        ],
    )
    def test_what_is_told_is_counted(
        self,
        registry: CollectorRegistry,
        metrics: Metrics,
        name: str,
        labels: dict[str, str],
        value: float,
    ) -> None:
        work(metrics)
        assert registry.get_sample_value(name, labels) == pytest.approx(value)

    def test_tenants_are_open_until_they_are_not(
        self, registry: CollectorRegistry, metrics: Metrics
    ) -> None:
        for tenant in ("t1", "t2", "t2"):
            metrics.opened(tenant, 0.0)
        assert registry.get_sample_value("mplus_tenants_open") == 2
        metrics.lost("t1")
        metrics.closed("t1")  # also told of one that was lost
        assert registry.get_sample_value("mplus_tenants_open") == 1
        metrics.failed("t2", StaleLeaseError("gone"), 1.0)
        assert registry.get_sample_value("mplus_tenants_open") == 0

    def test_no_tenant_is_named(self, registry: CollectorRegistry, metrics: Metrics) -> None:
        work(metrics)
        assert not re.search(r"t[123]\b", exposition(registry))

    def test_several_observers_are_told_the_same(self) -> None:
        registries = [CollectorRegistry(), CollectorRegistry()]
        work(Observers([Metrics(registry) for registry in registries]))
        one, other = ([f.samples for f in r.collect()] for r in registries)
        stamped = "_created"
        assert [
            [(s.name, s.labels, s.value) for s in samples if not s.name.endswith(stamped)]
            for samples in one
        ] == [
            [(s.name, s.labels, s.value) for s in samples if not s.name.endswith(stamped)]
            for samples in other
        ]
        assert registries[1].get_sample_value("mplus_leases_lost_total") == 1


class TestLedger:
    def test_what_is_there_and_what_waits(
        self, registry: CollectorRegistry, ledger: Ledger, clock: Clock
    ) -> None:
        registry.register(LedgerMetrics(ledger, clock))
        anna, bela = (ledger.create_tenant(name, "f1") for name in ("anna", "bela"))
        put(anna, "a", 2)
        memorize(anna, anna.heads.claim(new_owner(), 60), [2])
        put(anna, "b", 3)
        clock.now += 30
        put(bela, "c", 4)
        bela.webhooks.create("https://example.com/hook")
        bela.failures.add("bad.pdf", "torn")
        anna.forgets.request("a")
        clock.now += 12
        found = {
            (s.name, s.labels.get("state")): s.value
            for family in registry.collect()
            for s in family.samples
        }
        assert found == {
            ("mplus_ledger_up", None): 1,
            ("mplus_documents", "waiting"): 2,
            ("mplus_documents", "memorized"): 0,
            ("mplus_documents", "failed"): 1,
            ("mplus_chunks", "waiting"): 7,
            ("mplus_chunks", "memorized"): 2,
            ("mplus_tokens", "waiting"): 7,
            ("mplus_tokens", "memorized"): 2,
            ("mplus_tenants", None): 2,
            ("mplus_writers", None): 1,
            ("mplus_webhook_waiting", None): 1,
            ("mplus_backlog_tenants", None): 2,
            ("mplus_backlog_forgets", None): 1,
            ("mplus_backlog_oldest_seconds", None): 42,
        }

    def test_each_scrape_looks_anew(self, registry: CollectorRegistry, ledger: Ledger) -> None:
        registry.register(LedgerMetrics(ledger))
        waiting = {"state": "waiting"}
        log = ledger.create_tenant("anna", "f1")
        assert registry.get_sample_value("mplus_chunks", waiting) == 0
        put(log, "a", 3)
        assert registry.get_sample_value("mplus_chunks", waiting) == 3
        memorize(log, log.heads.claim("w", 60), [3])
        assert registry.get_sample_value("mplus_chunks", waiting) == 0
        assert registry.get_sample_value("mplus_chunks", {"state": "memorized"}) == 3

    def test_a_ledger_that_fails_is_said_to_be_down(
        self, metrics: Metrics, registry: CollectorRegistry, tmp_path: Path
    ) -> None:
        path = tmp_path / "ledger.db"
        ledger = Ledger(f"sqlite:///{path}")
        ledger.close()
        path.write_bytes(b"no database " * 1000)
        registry.register(LedgerMetrics(ledger))
        work(metrics)
        assert registry.get_sample_value("mplus_ledger_up") == 0
        assert registry.get_sample_value("mplus_tenants") is None
        assert registry.get_sample_value("mplus_memorized_tokens_total") == 1600
        ledger.close()


class TestMerge:
    def test_each_writer_keeps_its_samples(self) -> None:
        texts = {}
        for writer, tokens in (("w1", 10), ('w"2"\\', 20)):
            registry = CollectorRegistry()
            one = Metrics(registry)
            one.committed(Commit("t", 1, 1, tokens, 0.1, 0.1, (1.0,)))
            one.failed("t", StorageError("full"), 1.0)
            texts[writer] = exposition(registry)
        joined = merge(texts)
        families = {f.name: f for f in text_string_to_metric_families(joined)}
        counted = {s.labels["writer"]: s.value for s in families["mplus_memorized_tokens"].samples}
        assert counted == {"w1": 10, 'w"2"\\': 20}
        assert families["mplus_stage_seconds"].type == "histogram"
        assert {
            (s.labels["error"], s.labels["writer"]) for s in families["mplus_failures"].samples
        } == {
            ("StorageError", "w1"),
            ("StorageError", 'w"2"\\'),
        }
        types = [line for line in joined.splitlines() if line.startswith("# TYPE")]
        assert len(types) == len(set(types)) == len(families)
        assert all("writer=" in line for line in joined.splitlines() if not line.startswith("#"))

    def test_nothing_is_lost(self) -> None:
        registry = CollectorRegistry()
        work(Metrics(registry))
        text = exposition(registry)
        kept = {
            (s.name, tuple(sorted(s.labels.items())), s.value)
            for family in text_string_to_metric_families(text)
            if not family.name.endswith("_created")
            for s in family.samples
        }
        joined = {
            (s.name, tuple(sorted((n, v) for n, v in s.labels.items() if n != "writer")), s.value)
            for family in text_string_to_metric_families(merge({"w": text}))
            for s in family.samples
        }
        assert joined == kept

    def test_of_nobody_it_is_empty(self) -> None:
        assert merge({}) == ""


@pytest.fixture
def served(registry: CollectorRegistry, metrics: Metrics) -> Iterator[int]:
    """The port of a server for the registry."""
    work(metrics)
    server = serve(registry, 0)
    yield server.server_port
    server.shutdown()
    server.server_close()


class TestServe:
    def test_over_http(self, served: int) -> None:
        with urllib.request.urlopen(f"http://127.0.0.1:{served}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        assert answer.headers["Content-Type"].startswith("text/plain")
        assert "mplus_memorized_chunks_total 4.0" in text.splitlines()
        assert "_created" not in text

    def test_writers_elsewhere_beside_the_ledger(self, ledger: Ledger) -> None:
        texts: dict[str, str] = {}
        fleet = CollectorRegistry()
        fleet.register(WriterMetrics(lambda: texts))
        fleet.register(LedgerMetrics(ledger))
        assert fleet.get_sample_value("mplus_memorized_chunks_total", {"writer": "w1"}) is None
        one = CollectorRegistry()
        work(Metrics(one))
        texts["w1"] = exposition(one)
        assert fleet.get_sample_value("mplus_memorized_chunks_total", {"writer": "w1"}) == 4
        assert fleet.get_sample_value("mplus_ledger_up") == 1

    def test_a_taken_port_is_said(self, served: int, registry: CollectorRegistry) -> None:
        with pytest.raises(InvalidInputError, match=f"{served}.*another port"):
            serve(registry, served)
        with pytest.raises(InvalidInputError, match="99999"):
            serve(registry, 99999)


def test_every_metric_is_documented(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    Metrics(registry)
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    registry.register(LedgerMetrics(ledger))
    served = {f.name + ("_total" if f.type == "counter" else "") for f in registry.collect()}
    ledger.close()
    rows = re.findall(r"^\| `(mplus_\w+)` \|", TABLE.read_text("utf-8"), re.M)
    assert sorted(rows) == sorted(served)
