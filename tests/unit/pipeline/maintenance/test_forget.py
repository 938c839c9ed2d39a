"""Forgetting: masked at once, then as if the document had never come, in every file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pytest
from sqlalchemy import text
from torch import Tensor

from mplus_ray.model.store.row_store import RowStore
from mplus_ray.pipeline.ledger.heads.fork import shards_before
from mplus_ray.pipeline.ledger.tenant_log import TenantLog
from mplus_ray.pipeline.maintenance.rebuild import carry_out_forgets
from mplus_ray.pipeline.maintenance.repair import verify
from mplus_ray.pipeline.maintenance.tenant_lifecycle import delete
from mplus_ray.pipeline.reading.ask import ask
from mplus_ray.pipeline.reading.read_plans import read_plan
from mplus_ray.pipeline.workers.catch_up import catch_up
from tests.worlds import World, found_in, log_of, make_text, merge_all, row_bytes, windows

if TYPE_CHECKING:
    from tests.postgres import Postgres

pytest_plugins = ["tests.installations", "tests.postgres"]
pytestmark = pytest.mark.usefixtures("unmerged")

DOCUMENTS = {name[0]: make_text(name, int(name[1])) for name in ("a3", "b4", "c2", "d5", "e3")}


def fill(world: World, name: str = "anna", without: Sequence[str] = ()) -> TenantLog:
    return world.grow(name, [(k, t) for k, t in DOCUMENTS.items() if k not in without])


def same_as_without(world: World, log: TenantLog, *forgotten: str) -> None:
    """The tenant is the one that never saw these documents, and its files are whole."""
    twin = fill(world, "twin", forgotten)
    assert log_of(log) == log_of(twin)
    assert world.digest(log) == world.digest(twin)
    assert not verify(world.engine, log).damaged


def needles(world: World, log: TenantLog, *keys: str) -> list[bytes]:
    """What must not be found anywhere once these documents are forgotten."""
    texts = {d.key: log.text(d.key) for d in log.documents()}
    found: list[bytes] = []
    for key in keys:
        others = [t for k, t in texts.items() if k not in keys]
        document = log.document(key)
        found += windows(texts[key], others)
        found += row_bytes(world, log, document.first_step, document.end)
    return found


class TestAtOnce:
    def test_no_answer_reads_or_names_it(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        log = fill(world)
        before = ask(log, world.reader, DOCUMENTS["b"], max_tokens=2)
        assert "b" in {c.passage.key for c in before.citations}, "or nothing is to be seen here"
        document = log.document("b")
        log.forgets.request("b")
        read: list[np.ndarray] = []
        gather = RowStore.gather

        def watched(store: RowStore, layer: int, ids: np.ndarray) -> Tensor:
            read.append(ids)
            return gather(store, layer, ids)

        monkeypatch.setattr(RowStore, "gather", watched)
        size = world.model.config.num_tokens
        for question in DOCUMENTS.values():
            reply = ask(log, world.reader, question, max_tokens=2)
            assert reply.citations
            assert "b" not in {citation.passage.key for citation in reply.citations}
        steps = {int(step) for ids in read for step in ids // size}
        assert steps
        assert not steps & set(range(document.first_step, document.end))

    def test_what_only_it_would_answer_is_not_there(self, world: World) -> None:
        log = world.grow("anna", [("only", DOCUMENTS["d"])])
        log.forgets.request("only")
        view = world.reader._view(read_plan(log, log.heads.serving()))
        assert [len(keys[0]) for keys, _ in view.pool] == [0, 0]
        assert [len(ids) for ids in view.retrievable] == [0, 0]
        assert ask(log, world.reader, "who?", max_tokens=2).citations == []


class TestAfterwards:
    @pytest.mark.parametrize("keys", ["a", "c", "e", "bd", "abcde"])
    def test_it_never_came(self, world: World, keys: str) -> None:
        log = fill(world)
        secrets = needles(world, log, *keys)
        assert {name for name, _ in found_in(world.data, secrets)} >= {"ledger.db-wal"}
        for key in keys:
            log.forgets.request(key)
        receipts = carry_out_forgets(world.engine, log)
        assert [receipt.document for receipt in receipts] == list(keys)
        for r in receipts:
            assert r.rebuilt is not None
            assert r.purged is not None
            assert r.requested <= r.masked <= r.rebuilt <= r.purged
        assert found_in(world.data, secrets) == []
        same_as_without(world, log, *keys)

    def test_out_of_large_shards(self, world: World) -> None:
        log = fill(world)
        assert merge_all(world, log)
        secrets = needles(world, log, "c")
        log.forgets.request("c")
        carry_out_forgets(world.engine, log)
        assert found_in(world.data, secrets) == []
        same_as_without(world, log, "c")

    def test_before_it_was_memorized(self, world: World) -> None:
        log = fill(world, without="d")
        world.accept(log, "d", DOCUMENTS["d"])
        log.forgets.request("d")
        catch_up(world.engine, [log])
        assert found_in(world.data, windows(DOCUMENTS["d"], [])) == []
        same_as_without(world, log, "d")

    def test_while_it_is_memorized_in_part(self, world: World) -> None:
        log = fill(world, without="d")
        world.accept(log, "d", DOCUMENTS["d"])
        steps = iter(range(4))

        def interrupt(*_: object) -> None:
            if next(steps) == 3:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            catch_up(world.engine, [log], interrupt)
        document = log.document("d")
        assert document.first_step < log.heads.serving().head.step < document.end
        log.forgets.request("d")
        carry_out_forgets(world.engine, log)
        same_as_without(world, log, "d")

    def test_a_document_that_comes_during_the_rebuild(self, world: World) -> None:
        log = fill(world, without="e")
        log.forgets.request("b")
        waiting = ["e"]

        def arrive(*_: object) -> None:
            while waiting:
                world.accept(log, "e", DOCUMENTS[waiting.pop()])

        carry_out_forgets(world.engine, log, arrive)
        catch_up(world.engine, [log])
        same_as_without(world, log, "b")

    def test_one_that_is_forgotten_during_the_rebuild_of_another(self, world: World) -> None:
        log = fill(world)
        secrets = needles(world, log, "b", "d")
        log.forgets.request("b")

        def request(*_: object) -> None:
            log.forgets.request("d")

        carry_out_forgets(world.engine, log, request)
        catch_up(world.engine, [log])
        assert log.forgets.pending() == []
        assert found_in(world.data, secrets) == []
        same_as_without(world, log, "b", "d")

    def test_a_new_version_takes_the_place_of_the_old(self, world: World) -> None:
        log = world.grow("anna", [("x", DOCUMENTS["a"]), ("b", DOCUMENTS["b"])])
        secrets = needles(world, log, "x")
        world.accept(log, "x", DOCUMENTS["c"])
        catch_up(world.engine, [log])
        twin = world.grow("twin", [("b", DOCUMENTS["b"]), ("x", DOCUMENTS["c"])])
        assert world.digest(log) == world.digest(twin)
        assert log_of(log) == log_of(twin)
        assert found_in(world.data, secrets) == []

    def test_and_it_may_come_again(self, world: World) -> None:
        log = fill(world, without="e")
        log.forgets.request("b")
        carry_out_forgets(world.engine, log)
        world.accept(log, "b", DOCUMENTS["b"])
        catch_up(world.engine, [log])
        twin = world.grow("twin", [(key, DOCUMENTS[key]) for key in "acdb"])
        assert world.digest(log) == world.digest(twin)

    def test_snapshots_move_with_the_log(self, world: World) -> None:
        log = fill(world)
        log.snapshots.take("in b", 5)
        log.snapshots.take("after d", 14)
        log.forgets.request("b")
        carry_out_forgets(world.engine, log)
        assert [(s.name, s.step) for s in log.snapshots.list()] == [("in b", 3), ("after d", 10)]
        twin = fill(world, "twin", "b")
        for step in (3, 10):
            assert world.digest(log, step) == world.digest(twin, step)


class TestForks:
    def test_a_fork_keeps_what_its_parent_forgets(self, world: World) -> None:
        log = fill(world)
        fork = world.ledger.fork_tenant(log, "fork")
        before = world.digest(fork)
        log.forgets.request("b")
        carry_out_forgets(world.engine, log)
        assert world.digest(fork) == before
        assert not verify(world.engine, fork).damaged

    @pytest.mark.parametrize("alive", [True, False], ids=["beside", "after"])
    def test_the_last_of_a_family_leaves_nothing(self, world: World, alive: bool) -> None:
        log = fill(world)
        secrets = needles(world, log, "b")
        fork = world.ledger.fork_tenant(log, "fork")
        if alive:
            log.forgets.request("b")
            carry_out_forgets(world.engine, log)
        else:
            delete(world.engine, "anna")
        assert found_in(world.data, secrets), "the fork has it"
        world.accept(fork, "f", make_text("f", 4))
        catch_up(world.engine, [fork])
        fork.forgets.request("b")
        carry_out_forgets(world.engine, fork)
        assert found_in(world.data, secrets) == []

    def test_a_forks_share_of_a_file_ends_where_it_does(self, world: World) -> None:
        log = fill(world)
        assert shards_before(log.heads.serving().shards, 5)[-1].end == 5


def test_nothing_is_left_in_a_database_of_many_pages(world: World) -> None:
    """Rows that a tree of pages moved around leave copies behind unless they are overwritten."""
    texts = {f"k{n}": make_text(f"k{n}", 40 + 7 * n % 60) for n in range(60)}
    log = world.tenant("anna")
    for key, words in texts.items():
        world.accept(log, key, words)
    for key in [k for k in texts if k != "k31"][::3]:
        log.forgets.request(key)
    log.forgets.request("k31")
    gone = {forget.receipt.document for forget in log.forgets.pending()}
    with world.engine.lease(log) as lease:
        build = log.heads.begin_build(
            lease,
            fingerprint=world.model.fingerprint,
            reason="forget",
            excluded=[forget.document for forget in log.forgets.pending()],
        )
        log.heads.swap(lease, build.id)
    world.ledger.scrub()
    assert found_in(world.data, [w for key in gone for w in windows(texts[key], [])[::12]]) == []


def test_nothing_is_left_in_a_servers_tables(on_postgres: World, postgres: Postgres) -> None:
    world = on_postgres
    log = fill(world)
    secrets = needles(world, log, "b")
    with world.ledger._database.reading() as connection:
        oid = connection.execute(
            text("SELECT oid FROM pg_database WHERE datname = current_database()")
        ).scalar_one()
    tables = postgres.folder / "base" / str(oid)
    with postgres.admin.connect() as connection:
        connection.execute(text("CHECKPOINT"))
    assert found_in(tables, secrets)
    assert found_in(world.folder, secrets)
    log.forgets.request("b")
    carry_out_forgets(world.engine, log)
    assert found_in(tables, secrets) == []
    assert found_in(world.folder, secrets) == []
    same_as_without(world, log, "b")
