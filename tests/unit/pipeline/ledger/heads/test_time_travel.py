"""Earlier memories, forks of them, and what stays when a tenant is deleted."""

from __future__ import annotations

import pytest

from mplus_ray.model.errors import StorageError, TenantNotFoundError
from mplus_ray.model.memory.digest import digest
from mplus_ray.model.object_store.object_store import ObjectStore
from mplus_ray.pipeline.ledger.schema import TENANT_TABLES
from mplus_ray.pipeline.ledger.tenant_log import TenantLog
from mplus_ray.pipeline.maintenance.repair import verify
from mplus_ray.pipeline.maintenance.tenant_lifecycle import delete, drop_rows, sweep
from mplus_ray.pipeline.reading.ask import ask
from mplus_ray.pipeline.reading.read_plans import read_plan
from mplus_ray.pipeline.workers.catch_up import catch_up
from mplus_ray.services.moments import iso, step_of
from tests.worlds import World, found_in, log_of, make_text, merge_all, row_bytes, windows

pytest_plugins = ["tests.installations"]
pytestmark = pytest.mark.usefixtures("unmerged")

DOCUMENTS = [(name[0], make_text(name, int(name[1]))) for name in ("a3", "b4", "c2", "d5", "e3")]
STEPS = 17


@pytest.fixture
def log(world: World) -> TenantLog:
    return world.grow("anna", DOCUMENTS)


class TestAsOf:
    @pytest.mark.parametrize("compacted", [False, True])
    def test_every_step_is_the_memory_that_stopped_there(
        self, world: World, log: TenantLog, compacted: bool
    ) -> None:
        chain = world.chain(log)
        world.digest(log)
        if compacted:
            merge_all(world, log)
        assert (len(log.heads.serving().shards) == 1) is compacted
        found = [world.digest(log, step) for step in range(STEPS + 1)]
        assert found == [digest(memory) for memory in chain]

    def test_answers_are_of_the_time(self, world: World, log: TenantLog) -> None:
        chain = world.chain(log)
        # One reader goes back and forth, and sees shards being replaced in between.
        for number, step in enumerate((STEPS, 4, 9, 1, 0, 12)):
            if number == 3:
                merge_all(world, log)
            now = ask(log, world.reader, DOCUMENTS[1][1], as_of=step, max_tokens=6)
            then = world.model.ask(chain[step], DOCUMENTS[1][1], max_tokens=6)
            assert now.answer.text == then.text
            assert [s.step for s in now.answer.sources] == [s.step for s in then.sources]
            scores = [source.score for source in then.sources]  # summed in another order here
            assert [s.score for s in now.answer.sources] == pytest.approx(scores)
            assert now.step == step
            assert all(citation.passage.step < step for citation in now.citations)

    def test_a_reader_that_was_open_sees_what_came_later(self, world: World) -> None:
        log = world.grow("anna", DOCUMENTS[:2])
        for key, words in DOCUMENTS[2:]:
            world.reader.open(read_plan(log, log.heads.serving()))
            world.accept(log, key, words)
            catch_up(world.engine, [log])
        memory = world.reader.memory(read_plan(log, log.heads.serving()))
        assert digest(memory) == digest(world.chain(log)[-1])


class TestForks:
    # Before the first state, at one, at the end of a shard between two, within a shard, the end.
    @pytest.mark.parametrize(
        ("step", "compacted"),
        [(0, False), (1, False), (4, True), (6, False), (11, False), (11, True), (STEPS, False)],
    )
    def test_one_from_any_step_equals_its_parent_there(
        self, world: World, log: TenantLog, step: int, compacted: bool
    ) -> None:
        if compacted:
            merge_all(world, log)
        known = log.heads.serving().state_at(step)
        before = world.names()
        fork = world.ledger.fork_tenant(log, "fork", step)
        catch_up(world.engine, [fork])
        assert fork.heads.serving().head.step == step
        assert world.digest(fork) == world.digest(log, step)
        assert log_of(fork)[1] == log_of(log)[1][:step]
        # It pays for the steps since the last state of its parent's, and for a state of its own.
        own = fork.heads.serving()
        made = [shard for shard in own.shards if shard.file not in before]
        assert sum(shard.steps for shard in made) <= step - (known.step if known else 0)
        assert len(world.names() - before) <= len(made) + 1
        if known is not None and known.step == step:
            assert world.names() == before

    def test_each_goes_its_own_way(self, world: World, log: TenantLog) -> None:
        before = world.digest(log)
        fork = world.ledger.fork_tenant(log, "fork", 8)
        world.accept(fork, "f", make_text("f", 4))
        catch_up(world.engine, [fork])
        assert world.digest(fork) == digest(world.chain(fork)[-1])
        assert world.digest(log) == before
        world.accept(log, "g", make_text("g", 4))
        catch_up(world.engine, [log])
        merge_all(world, log)
        merge_all(world, fork)
        for one in (log, fork):
            assert world.digest(one) == digest(world.chain(one)[-1])
            assert not verify(world.engine, one).damaged

    @pytest.mark.parametrize("step", [3, 8])
    def test_it_outlives_its_parent(self, world: World, log: TenantLog, step: int) -> None:
        fork = world.ledger.fork_tenant(log, "fork", step)
        expected = world.digest(log, step)
        delete(world.engine, "anna")
        catch_up(world.engine, [fork])
        assert not verify(world.engine, fork).damaged
        assert world.digest(fork) == expected
        assert ask(fork, world.reader, "who?", max_tokens=2).citations
        world.accept(fork, "f", make_text("f", 4))
        catch_up(world.engine, [fork])
        merge_all(world, fork)
        assert world.digest(fork) == digest(world.chain(fork)[-1])
        assert world.names() == fork.heads.files(), "its parent's files went with the last name"
        delete(world.engine, "fork")
        assert world.names() == set()

    def test_a_cold_one_leaves_the_files_of_others(self, world: World, log: TenantLog) -> None:
        fork = world.ledger.fork_tenant(log, "fork", 8)
        drop_rows(world.engine, log)
        assert not verify(world.engine, fork).damaged
        drop_rows(world.engine, fork)
        assert world.names() == set()
        catch_up(world.engine, [log, fork])
        for one in (log, fork):
            assert world.digest(one) == digest(world.chain(one)[-1])


class TestDeletion:
    def test_nothing_is_left(self, world: World, log: TenantLog) -> None:
        world.grow("other", [("x", make_text("x", 3))])
        log.snapshots.take("monday")
        log.forgets.request("b")
        secrets = row_bytes(world, log, 0, STEPS)
        secrets += [run for _, words in DOCUMENTS for run in windows(words, [])]
        delete(world.engine, "anna")
        assert found_in(world.data, secrets) == []
        assert not [name for name in world.names() if name.startswith(log.tenant.id)]
        with world.ledger._database.reading() as connection:
            for table in TENANT_TABLES:
                assert connection.execute(log.scope.select(table)).all() == []
        with pytest.raises(TenantNotFoundError):
            world.ledger.tenant("anna")
        assert world.tenant("anna").length() == 0
        assert not verify(world.engine, world.ledger.tenant("other")).damaged

    def test_an_interrupted_one_is_finished_by_a_sweep(
        self, world: World, log: TenantLog, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: object) -> None:
            raise StorageError("no")

        with monkeypatch.context() as patch:
            patch.setattr(ObjectStore, "delete", refuse)
            with pytest.raises(StorageError):
                delete(world.engine, "anna")
        assert world.names()
        sweep(world.engine)
        assert world.names() == set()
        assert world.ledger.marked.list() == []

    def test_a_writer_that_is_at_work_leaves_nothing_for_ever(self, world: World) -> None:
        log = world.tenant("anna")
        for key, words in DOCUMENTS:
            world.accept(log, key, words)
        steps = iter(range(STEPS))

        def intervene(*_: object) -> None:
            if next(steps) == 4:
                delete(world.engine, "anna")

        with pytest.raises(TenantNotFoundError):
            catch_up(world.engine, [log], intervene)
        sweep(world.engine)
        assert world.names() == set()


def test_a_time_that_was_shown_names_its_moment(world: World) -> None:
    for number in range(8):  # a rounded time may by chance not be an earlier one
        log = world.grow(f"tenant {number}", [("x", make_text("x", 1))])
        shown = iso(log.document("x").memorized)
        assert step_of(log, shown, None) == 1
