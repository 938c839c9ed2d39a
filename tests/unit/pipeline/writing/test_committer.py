"""Commits that share a transaction: all of them, or each by itself where one cannot be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event

import pytest

import mplus_ray.pipeline.writing.committer
from mplus_ray.actors.plans import Sealed, WriteRequest
from mplus_ray.model import MPlus
from mplus_ray.model.errors import MPlusError, StaleLeaseError, StorageError
from mplus_ray.pipeline.ledger.heads.commit import Advance, commit_together
from mplus_ray.pipeline.ledger.heads.head import Committed
from mplus_ray.pipeline.ledger.tenant_log import TenantLog
from mplus_ray.pipeline.workers.claims import claim_together
from mplus_ray.pipeline.writing.committer import CommitTask, Committer, Written
from mplus_ray.pipeline.writing.write_job import WriteJob
from tests.worlds import World, load_model, make_text, opened, without_flushing


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> MPlus:
    return load_model(tmp_path_factory.mktemp("model") / "checkpoint")


@pytest.fixture
def world(model: MPlus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    without_flushing(monkeypatch.setattr)
    with opened(model, f"sqlite:///{tmp_path / 'ledger.db'}", tmp_path / "rows") as made:
        yield made


@pytest.fixture
def groups(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many commits each transaction was to have."""
    sizes: list[int] = []

    def noting(advances: list[Advance]) -> list[Committed]:
        sizes.append(len(advances))
        return commit_together(advances)

    monkeypatch.setattr(mplus_ray.pipeline.writing.committer, "commit_together", noting)
    return sizes


def claimed(world: World, *names: str) -> list[WriteJob]:
    logs = [world.tenant(name) for name in names]
    for log in logs:
        world.accept(log, "a", make_text(log.tenant.name, 2))
    return claim_together(logs, "me", 60.0, ())


def memorized(world: World, job: WriteJob) -> Callable[[], Sealed | None]:
    """All of a job is memorized; the call returned writes its files."""
    writer = world.engine.writer
    writer.open(job.plan)
    for chunk in job.chunks(0):
        ids = world.model.tokenizer.encode(chunk.text)
        writer.memorize([WriteRequest(job.plan.tenant, chunk.step, ids)])
    return writer.seal_later(job.plan.tenant)


def together(
    jobs: list[WriteJob], writes: list[Callable[[], Sealed | None]], release: bool = False
) -> list[CommitTask]:
    """Tasks that all wait while the committer has something else to do."""
    held, committer = Event(), Committer()
    committer._thread.submit(held.wait)
    tasks = [
        CommitTask(job, write, 1, release, on_commit=lambda written: None)
        for job, write in zip(jobs, writes, strict=True)
    ]
    for task in tasks:
        committer.add(task)
    held.set()
    committer.close()
    return tasks


def test_what_waits_at_the_same_time_shares_a_transaction(world: World, groups: list[int]) -> None:
    jobs = claimed(world, "a", "b", "c")
    tasks = together(jobs, [memorized(world, job) for job in jobs])
    assert groups == [3]
    for task in tasks:
        assert task.done.result()
        assert task.job.log.heads.serving().head.step == task.job.log.length()


def test_one_that_lost_its_tenant_leaves_the_others(world: World, groups: list[int]) -> None:
    jobs = claimed(world, "a", "b", "c")
    writes = [memorized(world, job) for job in jobs]
    jobs[1].log.heads.release(jobs[1].lease)
    jobs[1].log.heads.claim("another", 60.0)
    tasks = together(jobs, writes)
    assert groups == [3, 1, 1, 1]
    assert [isinstance(task.done.exception(), StaleLeaseError) for task in tasks] == [
        False,
        True,
        False,
    ]
    assert [job.log.heads.serving().head.step for job in jobs] == [2, 0, 2]


def test_a_ledger_that_fails_fails_for_all(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it kept the transaction is not known, so nothing is tried again from here."""

    def failing(advances: list[Advance]) -> list[Committed]:
        raise StorageError("the ledger is away")

    monkeypatch.setattr(mplus_ray.pipeline.writing.committer, "commit_together", failing)
    jobs = claimed(world, "a", "b")
    tasks = together(jobs, [memorized(world, job) for job in jobs])
    assert all(isinstance(task.done.exception(), StorageError) for task in tasks)


def test_files_that_cannot_be_written_are_their_tenants_own_affair(world: World) -> None:
    jobs = claimed(world, "a", "b")

    def full() -> Sealed | None:
        raise StorageError("No space left on device")

    tasks = together(jobs, [full, memorized(world, jobs[1])])
    assert isinstance(tasks[0].done.exception(), StorageError)
    assert tasks[1].done.result()


def test_nothing_is_committed_after_what_failed(world: World) -> None:
    (job,) = claimed(world, "a")
    write = memorized(world, job)

    def full() -> Sealed | None:
        raise StorageError("No space left on device")

    seen: list[Written] = []
    first = CommitTask(job, full, 1, False, seen.append)
    second = CommitTask(job, write, 1, False, seen.append, after=first)
    committer = Committer()
    for task in (first, second):
        committer.add(task)
    committer.close()
    assert isinstance(second.done.exception(), MPlusError)
    assert seen == []
    assert job.log.heads.serving().head.step == 0


def test_the_last_commit_gives_the_tenant_back(world: World) -> None:
    jobs = claimed(world, "a", "b")
    tasks = together(jobs, [memorized(world, job) for job in jobs], release=True)
    assert all(task.released for task in tasks)
    for job in jobs:
        assert job.log.heads.claim("another", 60.0).epoch == job.lease.epoch + 1
        with pytest.raises(StaleLeaseError):
            job.log.heads.renew(job.lease)


def test_a_slow_ledger_makes_the_caller_wait(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mplus_ray.pipeline.writing.committer, "_MOST", 2)
    jobs = claimed(world, "a", "b", "c")
    committer, held = Committer(), Event()
    committer._thread.submit(held.wait)
    tasks = [CommitTask(job, memorized(world, job), 1, False, lambda written: None) for job in jobs]
    for task in tasks[:2]:
        committer.add(task)
    assert committer._is_full()
    held.set()
    committer.add(tasks[2])  # returns once there is room
    assert tasks[0].done.done()
    committer.close()
    assert all(task.done.result() for task in tasks)


class TestClaims:
    def test_what_others_hold_is_left_out(self, world: World) -> None:
        free, held, gone, _ = logs = [world.tenant(name) for name in "abcd"]
        held.heads.claim("another", 60.0)
        gone.heads.claim("dead", 60.0)
        world.ledger.delete_tenant("d")
        jobs = claim_together(logs, "me", 60.0, {"dead"})
        assert [job.log for job in jobs] == [free, gone]
        assert [job.lease.epoch for job in jobs] == [1, 2]
        assert [job.plan.epoch for job in jobs] == [1, 2]

    def test_it_knows_as_much_as_a_claim_by_itself(self, world: World) -> None:
        log: TenantLog = world.grow("anna", [("a", make_text("a", 3))])
        world.accept(log, "b", make_text("b", 2))
        (job,) = claim_together([log], "me", 60.0, ())
        assert job == WriteJob.of(log, job.lease)
        assert claim_together([], "me", 60.0, ()) == []
