"""What a question or a client reads takes no longer because the tenant has more documents."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, event

from mplus_ray.model.errors import DocumentNotFoundError
from mplus_ray.pipeline.archive.exporter import _documents
from mplus_ray.pipeline.chunking.chunker import Span
from mplus_ray.pipeline.ledger.ledger import Ledger
from mplus_ray.pipeline.ledger.tenant_log import Entry, TenantLog
from mplus_ray.pipeline.parsing.document import ParsedDocument

_FEW, _MANY = 60, 900
_EVERY = 20  # instructions of SQLite's machine between two counts


def entry(number: int, mood: str = "calm") -> Entry:
    text = f"Maren Tolva bought the mill number {number} in the year {1700 + number}."
    document = ParsedDocument(f"Mill {number}", text, metadata={"mood": mood})
    return Entry(document, f"{number}.txt", [Span(0, len(text), 12)], f"d{number}")


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> TenantLog:
    folder: Path = tmp_path_factory.mktemp("flat")
    return Ledger(f"sqlite:///{folder / 'ledger.db'}").create_tenant("anna", "f" * 32, seed=1)


def missing(log: TenantLog) -> None:
    with pytest.raises(DocumentNotFoundError):
        log.document("nobody's")


def export(log: TenantLog) -> None:
    with log.scope.reading() as connection:
        assert sum(len(record["chunks"]) for record in _documents(connection, log.scope)) >= _FEW


READS: dict[str, Callable[[TenantLog], object]] = {
    "what is due to be forgotten": lambda log: log.forgets.expire(),
    "the first page": lambda log: log.page(10),
    "a page from the middle": lambda log: log.page(10, log.page(10).next_cursor),
    "a document": lambda log: log.document("d7"),
    "a document that is not there": missing,
    "the passages of a document": lambda log: log.passages("d7"),
    "its text": lambda log: log.text("d7"),
    "the head as a reader sees it": lambda log: log.heads.serving(),
    "the step of a moment": lambda log: log.step_at(time.time()),
    "what waits": lambda log: log.waiting(),
    "a document described anew": lambda log: log.append_many([entry(7, str(time.time()))]),
    "a document that is forgotten": lambda log: log.forgets.request(log.page(1).documents[0].key),
}


def instructions(log: TenantLog, read: Callable[[TenantLog], object]) -> int:
    """How many of SQLite's machine a read takes, which no other work on the machine changes."""
    count = 0

    def counted() -> int:
        nonlocal count
        count += _EVERY
        return 0

    def watch(connection: Connection) -> None:
        driver = connection.connection.driver_connection
        assert driver is not None
        driver.set_progress_handler(counted, _EVERY)

    event.listen(Engine, "begin", watch)
    try:
        read(log)
    finally:
        event.remove(Engine, "begin", watch)
    return count


def test_reads_are_flat(log: TenantLog) -> None:
    log.append_many([entry(number) for number in range(_FEW)])
    few = {name: instructions(log, read) for name, read in READS.items()}
    exported = instructions(log, export)
    log.append_many([entry(number) for number in range(_FEW, _MANY)])
    many = {name: instructions(log, read) for name, read in READS.items()}
    grown = {name: (few[name], many[name]) for name in READS if many[name] > 400 + 2 * few[name]}
    assert not grown, grown
    assert sum(many.values()) > 0, "nothing was counted"
    assert instructions(log, export) < 1.5 * exported * _MANY / _FEW, "an export is not linear"
