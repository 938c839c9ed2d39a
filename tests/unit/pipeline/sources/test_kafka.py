"""A topic on librdkafka's own mock cluster: offsets move only behind what the ledger has."""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from mplus_ray.model.errors import InvalidInputError, StorageError
from mplus_ray.pipeline.ingest.ingestor import DocumentChunker, IngestReport, take_in
from mplus_ray.pipeline.ledger.ledger import Ledger
from mplus_ray.pipeline.ledger.tenant_log import Entry, Outcome, TenantLog
from mplus_ray.pipeline.sources import (
    DocumentSource,
    Idle,
    Incoming,
    Item,
    Until,
    open_sources,
    read_again,
)
from tests.unit.fakes import FakeTokenizer

kafka = pytest.importorskip("confluent_kafka")

SETTINGS = (
    "session.timeout.ms=6000&heartbeat.interval.ms=100&topic.metadata.refresh.interval.ms=200"
)


class Cluster:
    """A broker within this process, which lives as long as its producer."""

    def __init__(self) -> None:
        self._producer = kafka.Producer({"test.mock.num.brokers": 1, "log_level": 0})
        (broker,) = self._producer.list_topics(timeout=10).brokers.values()
        self.address = f"{broker.host}:{broker.port}"

    def send(self, topic: str, *values: Any, key: str | None = None, partition: int = 0) -> None:
        for value in values:
            data = value if isinstance(value, bytes | None) else json.dumps(value).encode()
            self._producer.produce(topic, data, key, partition)
        assert self._producer.flush(10) == 0

    def source(self, topic: str, group: str = "g", idle: float | None = 2) -> DocumentSource:
        url = f"kafka://{self.address}/{topic}?group={group}&{SETTINGS}"
        return open_sources([url], until=Until(idle=idle))

    def committed(self, topic: str, group: str = "g", partition: int = 0) -> int:
        consumer = kafka.Consumer({"bootstrap.servers": self.address, "group.id": group})
        try:
            (place,) = consumer.committed([kafka.TopicPartition(topic, partition)], timeout=10)
            return int(place.offset)
        finally:
            consumer.close()


@pytest.fixture(scope="module")
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def topic() -> str:
    return f"t{uuid.uuid4().hex[:8]}"


@pytest.fixture
def log(tmp_path: Path) -> Iterator[TenantLog]:
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    yield ledger.create_tenant("anna", "weights")
    ledger.close()


def take(log: TenantLog, source: DocumentSource) -> IngestReport:
    return take_in(source, lambda: DocumentChunker(log, FakeTokenizer(64)), log=log)


def first(source: DocumentSource) -> tuple[Iterator[Any], Incoming]:
    """The running source, and its first document."""
    items = iter(source)
    for item in items:
        if not isinstance(item, Idle):
            assert isinstance(item, Incoming)
            return items, item
    raise AssertionError("nothing came")


def test_messages_become_documents(cluster: Cluster, log: TenantLog, topic: str) -> None:
    cluster.send(topic, {"id": "a", "text": "One."}, b"?", {"text": "Three."})
    cluster.send(topic, {"text": "Four."}, key="four")
    cluster.send(topic, None, key="gone")
    intake = take(log, cluster.source(topic))
    assert [d.key for d in log.documents()] == ["a", f"kafka:{topic}/0@2", "four"]
    assert [f.source for f in intake.failed] == [f"kafka:{topic}/0@1", f"kafka:{topic}/0@4"]
    assert "cannot be read again" in log.failures.list()[0].reason
    assert take(log, read_again(log.failures.list())).failures == 2
    assert cluster.committed(topic) == 5
    again = take(log, cluster.source(topic, "another"))
    assert (again.new, again.known, again.failures) == (0, 3, 2)


def test_messages_that_came_together_share_a_transaction(
    cluster: Cluster, log: TenantLog, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    append = TenantLog.append_many

    def noting(self: TenantLog, entries: Sequence[Entry]) -> list[Outcome]:
        sizes.append(len(entries))
        return append(self, entries)

    monkeypatch.setattr(TenantLog, "append_many", noting)
    cluster.send(topic, *({"text": f"Turn {n}."} for n in range(50)))
    assert take(log, cluster.source(topic)).new == 50
    assert cluster.committed(topic) == 50
    assert len(sizes) < 25  # how they arrive is the client's affair


def test_a_stop_leaves_nothing_uncommitted_that_the_ledger_has(
    cluster: Cluster, log: TenantLog, topic: str
) -> None:
    cluster.send(topic, *({"text": f"Turn {n}."} for n in range(20)))
    until = Until()
    url = f"kafka://{cluster.address}/{topic}?group=g&{SETTINGS}"
    taken = 0

    def stopping() -> Iterator[Item]:
        nonlocal taken
        for item in open_sources([url], until=until):
            taken += isinstance(item, Incoming)
            yield item
            if taken == 5:
                until.stop.set()

    take(log, stopping())  # type: ignore[arg-type]
    assert cluster.committed(topic) == len(log.documents()) == 5
    assert take(log, cluster.source(topic)).known == 0
    assert len(log.documents()) == 20


def test_what_the_ledger_does_not_have_comes_again(
    cluster: Cluster, log: TenantLog, topic: str
) -> None:
    cluster.send(topic, {"text": "One."}, {"text": "Two."})
    items, incoming = first(cluster.source(topic, idle=None))
    incoming.load()
    items.close()  # type: ignore[attr-defined]
    assert cluster.committed(topic) < 0
    assert take(log, cluster.source(topic)).new == 2


def test_two_members_share_the_partitions(cluster: Cluster, log: TenantLog, topic: str) -> None:
    """The second one joins while the first has a document that it has not handed over yet."""
    for partition in range(4):
        cluster.send(topic, {"text": f"Of {partition}."}, partition=partition)
    desk = DocumentChunker(log, FakeTokenizer(64))
    one = iter(cluster.source(topic, idle=4))
    two = iter(cluster.source(topic, idle=4))
    running = [one, two]
    while running:
        for items in list(running):
            item = next(items, None)
            if item is None:
                running.remove(items)
            elif isinstance(item, Incoming):
                desk.accept(item.load(), item)
                item.done()
    assert sorted(log.text(d.key) for d in log.documents()) == [f"Of {n}." for n in range(4)]
    assert [cluster.committed(topic, partition=n) for n in range(4)] == [1] * 4


def test_a_broker_that_is_not_there_is_named(
    log: TenantLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mplus_ray.pipeline.sources.kafka._FIRST_ANSWER_SECONDS", 0.5)
    with pytest.raises(StorageError, match=r"kafka://127\.0\.0\.1:9/t does not answer"):
        take(log, open_sources(["kafka://127.0.0.1:9/t?group=g"]))


def test_an_option_that_librdkafka_does_not_know_is_named(log: TenantLog) -> None:
    with pytest.raises(InvalidInputError, match=r"no\.such"):
        take(log, open_sources(["kafka://127.0.0.1:9/t?group=g&no.such=1"]))


def test_without_the_client_it_says_what_to_install(
    log: TenantLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    with pytest.raises(InvalidInputError, match=r"mplus-ray\[kafka\]"):
        take(log, open_sources(["kafka://127.0.0.1:9/t?group=g"]))
