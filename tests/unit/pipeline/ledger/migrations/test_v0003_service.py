"""A ledger from before the query service keeps what it has, and can do what is new."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from alembic import command
from sqlalchemy import create_engine, text

from mplus_ray.pipeline.ledger.filters.filter import Filter, conditions_of
from mplus_ray.pipeline.ledger.ledger import Ledger
from mplus_ray.pipeline.ledger.migrations import upgrade
from mplus_ray.pipeline.ledger.tenant import LIMITS
from mplus_ray.pipeline.reading.read_plans import Plans

if TYPE_CHECKING:
    from tests.postgres import Postgres

pytest_plugins = ["tests.postgres"]

ROWS = (
    "INSERT INTO tenants VALUES ('t', 'anna', 7, 'int8', 'unbounded', 'active', 3, NULL, 60.0, 9,"
    " '{}', 1.0, 2.0)",
    "INSERT INTO documents VALUES ('d', 't', 'a', 'a.txt', 'A', 'sum', 'one two',"
    ' \'{"author": "Ilse", "year": 2020, "sections": [{"title": "x", "start": 0}]}\', 0, 2, 2,'
    " 1.0, 2.0, NULL)",
    "INSERT INTO chunks VALUES ('t', 0, 'd', 0, 3, 1), ('t', 1, 'd', 4, 7, 1)",
    "INSERT INTO heads VALUES ('h', 't', 'f1', true, 2, 1, 'aa', '[]', 'serving', 1.0, 2.0)",
    "INSERT INTO shards VALUES ('h', 0, 't', 2, 'rows', 'sum', 100, '[0, 8, 16]', 2.0)",
)


@pytest.fixture(params=["sqlite", "postgresql"])
def old_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Of a ledger of version 0002 with one tenant."""
    server: Postgres | None = None
    if request.param == "postgresql":
        server = request.getfixturevalue("postgres")
    url = server.database() if server else f"sqlite:///{tmp_path / 'ledger.db'}"
    engine = create_engine(url)
    with engine.begin() as connection:
        config = upgrade._config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0002")
        for row in ROWS:
            connection.execute(text(row))
    engine.dispose()
    yield url
    if server:
        server.drop(url)


def test_nothing_is_lost(old_url: str) -> None:
    ledger = Ledger(old_url)
    log = ledger.tenant("anna")
    tenant = log.tenant
    assert (tenant.seed, tenant.precision, tenant.max_documents) == (7, "int8", 3)
    assert [getattr(tenant, name) for name in LIMITS[3:]] == [None] * len(LIMITS[3:])
    assert [passage.text for passage in log.passages("a")] == ["one", "two"]
    assert ledger.waiting() == []
    ledger.close()


def test_what_is_new_works(old_url: str) -> None:
    ledger = Ledger(old_url)
    log, plans = ledger.tenant("anna"), Plans(ledger)
    assert [shard.file for shard in plans.plan(log).shards] == ["rows"]
    log.forgets.request("a")
    assert plans.plan(log).forgotten == ((0, 2),)
    _, key = ledger.credentials.create(log, ["query"])
    assert ledger.credentials.verify(key)[0].tenant == "t"
    assert log.jobs.create(["d"]).state == "done"
    ledger.close()


def test_filters_find_what_was_there_before(old_url: str) -> None:
    ledger = Ledger(old_url)
    log = ledger.tenant("anna")
    for metadata, left in (
        ({"author": "Ilse", "year": {"gte": 2020}}, ["a"]),
        ({"author": "Otto"}, []),
        ({"sections": {"exists": True}}, []),
    ):
        page = log.page(wanted=Filter(metadata=conditions_of(metadata)))
        assert [one.key for one in page.documents] == left
    ledger.close()
