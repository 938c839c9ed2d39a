"""Many at once: steps stay dense, one holder writes, and no reader sees half of a swap."""

from __future__ import annotations

import ast
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from mplus_ray.model.errors import BusyError, StaleLeaseError
from mplus_ray.pipeline.chunking.chunker import Span
from mplus_ray.pipeline.ledger.heads.rechunk import rechunk
from mplus_ray.pipeline.ledger.ledger import Ledger
from mplus_ray.pipeline.ledger.schema import TENANT_TABLES, metadata
from mplus_ray.pipeline.parsing.document import ParsedDocument
from tests.logs import build_without, memorize, put, shard
from tests.paths import ROOT

pytest_plugins = ["tests.postgres"]

PIPELINE = ROOT / "pipeline"


def at_once(workers: int, work: Callable[[int], Any]) -> list[Any]:
    """Run `work` in threads that begin together; its results, or the error of the first."""
    start = threading.Barrier(workers)

    def begin(number: int) -> object:
        start.wait(timeout=30)
        return work(number)

    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(begin, range(workers)))


def test_appends_leave_no_gap(ledger_url: str, ledger: Ledger) -> None:
    log = ledger.create_tenant("anna", "f1")

    def append(worker: int) -> None:
        own = Ledger(ledger_url)
        for number in range(5):
            put(own.tenant("anna"), f"{worker}-{number}", 2)
        own.close()

    at_once(8, append)
    assert [c.step for c in log.chunks(0)] == list(range(80))
    assert sorted(d.first_step for d in log.documents()) == list(range(0, 80, 2))


def test_a_tenant_and_a_document_are_made_once(ledger: Ledger) -> None:
    def make(_: int) -> tuple[str, str, bool]:
        log = ledger.create_tenant("anna", "f1")
        accepted = put(log, "a")
        return log.tenant.id, accepted.document, accepted.new

    made = at_once(8, make)
    assert len({(tenant, document) for tenant, document, _ in made}) == 1
    assert sum(new for _, _, new in made) == 1


def test_one_of_two_claims_wins(ledger: Ledger) -> None:
    log = ledger.create_tenant("anna", "f1")

    def claim(number: int) -> int:
        try:
            return log.heads.claim(f"w{number}", 10).epoch
        except BusyError:
            return 0

    assert sorted(at_once(6, claim)) == [0, 0, 0, 0, 0, 1]


def test_one_of_two_holders_commits(ledger: Ledger) -> None:
    """Both believe that they hold it; the one whose epoch is over changes nothing."""
    log = ledger.create_tenant("anna", "f1")
    put(log, "a", 4)
    old = log.heads.claim("w0", 10)
    leases = [old, log.heads.claim("w1", 10, lambda owner: True)]

    def commit(number: int) -> str:
        try:
            return str(memorize(log, leases[number], [4]).epoch)
        except StaleLeaseError:
            return "stale"

    assert at_once(2, commit) == ["stale", "2"]
    assert len(log.heads.serving().shards) == 1


def test_a_reader_sees_all_of_a_swap_or_nothing(ledger: Ledger) -> None:
    log = ledger.create_tenant("anna", "f1")
    for key in "abcdef":
        put(log, key, 3)
    lease = log.heads.claim("w", 100)
    memorize(log, lease, [6, 18])
    seen: set[tuple[Any, ...]] = set()
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            found = log.heads.serving()
            assert found.head.step == found.shards[-1].end == found.states[-1].step
            assert all(end <= found.head.step for _, end in found.masks)
            seen.add((found.head.id, found.head.step, found.masks))

    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        expected: set[tuple[Any, ...]] = {(log.heads.serving().head.id, 18, ())}
        try:
            for number, key in enumerate("bcd"):
                step = 18 - 3 * number
                before = log.heads.serving().head.id
                building = build_without(log, lease, [key])
                expected.add((before, step, ((3, 6),)))
                log.heads.swap(lease, building.id)
                expected.add((building.id, step - 3, ()))
        finally:
            done.set()
        for reader in readers:
            reader.result()
    assert seen <= expected
    assert seen


def test_one_transaction_sees_one_moment(ledger: Ledger) -> None:
    """The snapshot that the test above relies on, without luck."""
    log = ledger.create_tenant("anna", "f1")
    put(log, "a")
    lease = log.heads.claim("w", 100)
    with log.scope.reading() as connection:
        head = log.scope.select(metadata.tables["heads"])
        before = connection.execute(head).one()
        memorize(log, lease, [2])
        shards = log.scope.select(metadata.tables["shards"])
        assert connection.execute(shards).all() == []
        assert connection.execute(head).one() == before
    assert len(log.heads.serving().shards) == 1


def test_every_tenant_table_has_the_column() -> None:
    assert len(TENANT_TABLES) == len(metadata.tables) - 1
    assert all("tenant" in table.c for table in TENANT_TABLES)


def test_statements_on_tenants_rows_are_made_by_their_scope() -> None:
    """`TenantScope` binds the tenant; what is about all tenants or whose a key is goes past.

    `api_keys.py` binds the owner in a function of its own, see `test_api_keys.py`. Migrations are
    of all tenants.
    """
    makers = {"select", "insert", "update", "delete", "text"}
    free = {"tenant_scope", "ledger", "tenant_queries", "backlog", "database", "schema"}
    free |= {"marked_tenants", "api_keys", "delivery_queue"}
    found = {}
    for path in PIPELINE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sqlalchemy"):
                names = makers & {alias.name for alias in node.names}
                if names:
                    found[path] = names
            elif isinstance(node, ast.Import) and any(
                alias.name.split(".")[0] == "sqlalchemy" for alias in node.names
            ):
                found[path] = {"sqlalchemy"}
    migrations = PIPELINE / "ledger" / "migrations"
    found = {path: names for path, names in found.items() if migrations not in path.parents}
    assert found.keys() == {PIPELINE / "ledger" / f"{name}.py" for name in free}


def test_a_scope_sees_its_own_tenant_only(ledger: Ledger) -> None:
    anna, bela = (ledger.create_tenant(name, "f1") for name in ("anna", "bela"))
    put(anna, "a")
    lease = anna.heads.claim("w", 10)
    memorize(anna, lease, [2])
    anna.snapshots.take("s")
    anna.webhooks.test(anna.webhooks.create("https://example.com")[0].id)
    anna.failures.add("f", "r")
    anna.jobs.create([put(anna, "a", version="2").document])
    anna.answered.claim("k", "d")
    ledger.credentials.create(anna, ["query"])
    described = ParsedDocument("T", "text", metadata={"author": "Ilse"})
    anna.append(described, "t.txt", [Span(0, 4, 1)], "t")
    put(anna, "long", count=8)  # enough words to be compared with others
    building = anna.heads.begin_build(lease, fingerprint="f2", reason="upgrade")
    rechunk(anna.scope, lease, building.id, (), lambda text, _: [Span(0, len(text), 1)])
    anna.heads.replace_shards(
        lease, anna.heads.serving().head.id, anna.heads.serving().shards, [shard(0, 2)]
    )
    with bela.scope.writing() as connection:
        for table in TENANT_TABLES:
            rows = connection.execute(bela.scope.select(table)).all()
            assert all(row.tenant == bela.tenant.id for row in rows)
            if table.name != "heads":
                assert rows == []
                connection.execute(bela.scope.delete(table))
    with anna.scope.reading() as connection:
        for table in TENANT_TABLES:
            assert connection.execute(anna.scope.select(table)).all(), table.name


def test_what_holds_a_tenant_does_not_hold_others(ledger: Ledger, ledger_url: str) -> None:
    if ledger_url.startswith("sqlite"):
        pytest.skip("in SQLite all writers take turns")
    anna, bela = (ledger.create_tenant(name, "f1") for name in ("anna", "bela"))
    with anna.scope.writing():
        assert put(bela, "b").new
