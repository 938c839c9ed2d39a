"""A writer that claims tenants: fair, exact, and patient with what fails."""

from __future__ import annotations

import gc
import math
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import mplus_ray.pipeline.workers.worker
from mplus_ray.actors.writer import Writer
from mplus_ray.model import MPlus
from mplus_ray.model.errors import StorageError
from mplus_ray.model.memory.digest import digest
from mplus_ray.model.object_store.object_store import ObjectStore
from mplus_ray.pipeline.ledger.tenant_log import TenantLog
from mplus_ray.pipeline.workers.worker import Worker
from mplus_ray.pipeline.writing.observer import Batch, Commit, Unobserved
from mplus_ray.pipeline.writing.write_pipeline import MAX_BATCH
from tests.worlds import World, load_model, make_text, opened, without_flushing


class Notes(Unobserved):
    """What a worker did, in order."""

    def __init__(self) -> None:
        self.opened_tenants: list[str] = []
        self.batches: list[Batch] = []
        self.commits: list[Commit] = []
        self.lost_tenants: list[str] = []
        self.failures: list[Exception] = []

    def opened(self, tenant: str, waited: float) -> None:
        self.opened_tenants.append(tenant)

    def batched(self, batch: Batch) -> None:
        self.batches.append(batch)

    def committed(self, commit: Commit) -> None:
        self.commits.append(commit)

    def lost(self, tenant: str) -> None:
        self.lost_tenants.append(tenant)

    def failed(self, tenant: str, error: Exception, again_in: float) -> None:
        self.failures.append(error)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> MPlus:
    return load_model(tmp_path_factory.mktemp("model") / "checkpoint")


@pytest.fixture
def world(model: MPlus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    without_flushing(monkeypatch.setattr)
    with opened(model, f"sqlite:///{tmp_path / 'ledger.db'}", tmp_path / "rows") as made:
        yield made


def waiting(world: World, name: str, steps: int) -> TenantLog:
    log = world.tenant(name)
    world.accept(log, name, make_text(name, steps))
    return log


def is_exact(world: World, log: TenantLog) -> bool:
    assert log.heads.serving().head.step == log.length()
    return world.digest(log) == digest(world.chain(log)[-1])


def test_everything_that_waits_is_memorized_exactly(world: World) -> None:
    logs = [waiting(world, f"t{n}", 1 + n % 5) for n in range(20)]
    notes = Notes()
    steps = Worker(world.engine, observer=notes).drain()
    assert steps == sum(log.length() for log in logs) == sum(c.steps for c in notes.commits)
    assert sum(c.tokens for c in notes.commits) == sum(log.tokens() for log in logs)
    assert sum(len(c.delays) for c in notes.commits) == len(logs)
    assert all(is_exact(world, log) for log in logs)
    assert max(batch.tenants for batch in notes.batches) == MAX_BATCH
    assert world.ledger.waiting() == []
    assert Worker(world.engine).drain() == 0


def test_who_waits_for_longest_comes_first(world: World) -> None:
    logs = [waiting(world, name, 2) for name in "cab"]
    notes = Notes()
    Worker(world.engine, slots=1, observer=notes).drain()
    assert notes.opened_tenants == [log.tenant.id for log in logs]


@pytest.mark.parametrize("others", [1, 3, 6])
@pytest.mark.parametrize("slots", [1, 2, 4])
def test_no_tenant_waits_for_more_than_its_share_of_rounds(
    world: World, monkeypatch: pytest.MonkeyPatch, others: int, slots: int
) -> None:
    """The bound in the module's docstring, in forward passes, with a look after every pass."""
    quantum, before = 4, 3
    monkeypatch.setattr(mplus_ray.pipeline.workers.worker, "QUANTUM", quantum)
    monkeypatch.setattr(mplus_ray.pipeline.workers.worker, "SHORT", 0)
    monkeypatch.setattr(mplus_ray.pipeline.workers.worker, "_LOOK_SECONDS", 0.0)
    monkeypatch.setattr(mplus_ray.pipeline.workers.worker, "_LOOK_SHARE", math.inf)
    for n in range(others):
        waiting(world, f"bulk{n}", 60)
    late: list[TenantLog] = []
    claimed: list[int] = []

    class Arriving(Notes):
        def batched(self, batch: Batch) -> None:
            super().batched(batch)
            if len(self.batches) == before:
                late.append(waiting(world, "late", 1))

        def opened(self, tenant: str, waited: float) -> None:
            if late and tenant == late[0].tenant.id:
                claimed.append(len(self.batches))

    Worker(world.engine, slots=slots, observer=Arriving()).drain()
    rounds = -(-(others + 1) // slots) - 1
    assert claimed[0] - before <= rounds * quantum
    assert is_exact(world, late[0])


def test_a_chat_turn_waits_for_a_few_passes_of_those_at_work(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mplus_ray.pipeline.workers.worker, "_LOOK_SECONDS", 0.0)
    monkeypatch.setattr(mplus_ray.pipeline.workers.worker, "_LOOK_SHARE", math.inf)
    for n in range(2):
        waiting(world, f"bulk{n}", 60)
    claimed: list[int] = []

    class Arriving(Notes):
        def batched(self, batch: Batch) -> None:
            super().batched(batch)
            if len(self.batches) == 1:
                waiting(world, "turn", 1)

        def opened(self, tenant: str, waited: float) -> None:
            if self.batches:
                claimed.append(len(self.batches))

    Worker(world.engine, slots=2, observer=Arriving()).drain()
    assert 1 <= claimed[0] <= mplus_ray.pipeline.workers.worker.SHORT


def test_it_goes_on_until_it_is_told_to_stop(world: World) -> None:
    done, stop = threading.Event(), threading.Event()
    log = world.tenant("anna")

    class Noted(Unobserved):
        def committed(self, commit: Commit) -> None:
            done.set()

    runner = threading.Thread(target=Worker(world.engine, observer=Noted()).run, args=(stop,))
    runner.start()
    try:
        for n in range(3):
            done.clear()
            world.accept(log, f"d{n}", make_text(f"d{n}", 2))
            assert done.wait(30)
    finally:
        stop.set()
        runner.join()
    assert is_exact(world, log)
    assert log.heads.claim("somebody else", 10).epoch > 1  # nothing is held


def test_a_storage_that_refuses_is_tried_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mplus_ray.pipeline.workers.worker, "_FIRST_PAUSE", 0.01)
    logs = [waiting(world, name, 5) for name in "ab"]
    put, stop = ObjectStore.put, threading.Event()
    refused: list[object] = []

    def refusing(files: ObjectStore, *args: object) -> None:
        if len(refused) < 3:
            refused.append(args[0])
            raise StorageError("No space left on device")
        put(files, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(ObjectStore, "put", refusing)

    class Until(Notes):
        def committed(self, commit: Commit) -> None:
            super().committed(commit)
            if {c.tenant for c in self.commits} == {log.tenant.id for log in logs}:
                stop.set()

    notes = Until()
    Worker(world.engine, observer=notes).run(stop)
    assert len(notes.failures) == 3
    assert all(is_exact(world, log) for log in logs)


def test_draining_says_what_failed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    log = waiting(world, "anna", 3)
    with monkeypatch.context() as full:
        full.setattr(ObjectStore, "put", _refuse)
        with pytest.raises(StorageError, match="No space left"):
            Worker(world.engine).drain()
    assert log.heads.serving().head.step == 0
    Worker(world.engine).drain()
    assert is_exact(world, log)


def test_what_is_to_be_forgotten_is_forgotten(world: World) -> None:
    log = world.grow("anna", [("a", make_text("a", 3)), ("b", make_text("b", 3))])
    log.forgets.request("a")
    other = waiting(world, "bela", 2)
    Worker(world.engine).drain()
    assert [document.key for document in log.documents()] == ["b"]
    assert not log.forgets.pending()
    assert is_exact(world, log)
    assert is_exact(world, other)


def test_a_deleted_tenant_holds_nobody_up(world: World) -> None:
    waiting(world, "gone", 3)
    log = waiting(world, "anna", 3)
    worker = Worker(world.engine)
    world.ledger.delete_tenant("gone")
    assert worker.drain() == log.length()


def test_a_tenant_of_other_weights_is_left_alone(world: World) -> None:
    world.ledger.create_tenant("other", "f" * 16)
    other = world.ledger.tenant("other")
    world.accept(other, "a", make_text("a", 2))
    assert Worker(world.engine).drain() == 0
    assert [one.log.tenant.name for one in world.ledger.waiting()] == ["other"]


def test_two_writers_share_the_work(world: World, model: MPlus) -> None:
    from dataclasses import replace

    logs = [waiting(world, f"t{n}", 4) for n in range(12)]
    second = replace(world.engine, writer=Writer(model, world.files))
    steps: list[int] = []
    threads = [
        threading.Thread(target=lambda e=engine: steps.append(Worker(e, slots=2).drain()))
        for engine in (world.engine, second)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(steps) == sum(log.length() for log in logs)
    assert all(is_exact(world, log) for log in logs)


class TestBacklog:
    def test_it_counts_what_waits(self, world: World) -> None:
        log = world.grow("done", [("a", make_text("a", 3))])
        assert world.ledger.waiting() == []
        world.accept(log, "b", make_text("b", 2))
        (one,) = world.ledger.waiting()
        total = world.ledger.backlog()
        step = log.heads.serving().head.step
        assert one.chunks == total.chunks == log.length() - step
        assert total.tokens == log.tokens(from_step=step)
        assert (total.tenants, total.documents, total.forgets) == (1, 1, 0)
        assert one.since == log.document("b").created
        assert total.oldest >= 0.0

    def test_a_cold_memory_waits_for_its_next_document(self, world: World) -> None:
        from mplus_ray.pipeline.maintenance.tenant_lifecycle import drop_rows

        log = world.grow("cold", [("a", make_text("a", 3))])
        drop_rows(world.engine, log)
        assert world.ledger.waiting() == []
        world.accept(log, "b", make_text("b", 2))
        (one,) = world.ledger.waiting()
        assert one.chunks == log.length()
        Worker(world.engine).drain()
        assert is_exact(world, log)


def _refuse(*_: object) -> None:
    raise StorageError("No space left on device")


def test_rows_are_let_go_of_without_the_collector(world: World) -> None:
    """Python collects cycles by the number of objects, and a few may hold a lot of rows."""
    log = world.tenant("anna")
    world.accept(log, "a", make_text("anna", 40))
    gc.collect()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        Worker(world.engine).drain()
        gc.collect()
        left = [one for one in gc.garbage if type(one) is torch.Tensor]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
    assert not left


def test_tenants_that_came_and_went_are_not_kept(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mplus_ray.pipeline.workers.worker, "_COUNTED", 3)
    worker = Worker(world.engine)
    ids = []
    for number in range(8):
        ids.append(waiting(world, f"t{number}", 1).tenant.id)
        worker.drain()
    gc.collect()
    alive = {log.tenant.id for log in gc.get_objects() if type(log) is TenantLog}
    assert [one for one in ids if one in alive] == ids[5:]  # other tests' logs may be alive, too
