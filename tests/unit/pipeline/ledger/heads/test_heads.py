"""Heads: one holder writes, commits continue exactly, and files are named or garbage."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mplus_ray.model.errors import (
    BusyError,
    InvalidInputError,
    StaleLeaseError,
    TenantNotFoundError,
)
from mplus_ray.pipeline.ledger.heads.tenant_heads import Lease
from mplus_ray.pipeline.ledger.ledger import Ledger
from mplus_ray.pipeline.ledger.tenant_log import TenantLog
from tests.logs import Clock, history, memorize, put, shard, state

pytest_plugins = ["tests.postgres"]


@pytest.fixture
def log(ledger: Ledger) -> TenantLog:
    log = ledger.create_tenant("anna", "f1")
    put(log, "a", 4)
    return log


@pytest.fixture
def lease(log: TenantLog) -> Lease:
    return log.heads.claim("w", 10)


class TestLeases:
    def test_one_holds_and_others_are_told_who(self, log: TenantLog) -> None:
        first = log.heads.claim("w1", 10)
        assert (first.epoch, first.expires) == (1, 1010)
        with pytest.raises(BusyError, match="w1 is writing"):
            log.heads.claim("w2", 10)

    def test_the_holder_may_claim_again(self, log: TenantLog, clock: Clock) -> None:
        log.heads.claim("w1", 10)
        clock.now += 5
        again = log.heads.claim("w1", 10)
        assert (again.epoch, again.expires) == (1, 1015)

    def test_an_expired_one_is_taken_over(self, log: TenantLog, clock: Clock) -> None:
        old = log.heads.claim("w1", 10)
        clock.now += 10
        new = log.heads.claim("w2", 10)
        assert new.epoch == old.epoch + 1
        with pytest.raises(StaleLeaseError, match="w1 with epoch 1 is void"):
            log.heads.renew(old)

    def test_a_dead_holder_is_not_waited_for(self, log: TenantLog) -> None:
        log.heads.claim("w1", 10)
        asked: list[str] = []
        with pytest.raises(BusyError):
            log.heads.claim("w2", 10, lambda owner: bool(asked.append(owner)))  # type: ignore[func-returns-value]
        assert log.heads.claim("w2", 10, lambda owner: owner == "w1").epoch == 2
        assert asked == ["w1"]

    def test_only_the_holder_that_was_judged_loses_it(self, log: TenantLog, clock: Clock) -> None:
        log.heads.claim("w1", 10)

        def is_gone(owner: str) -> bool:
            clock.now += 10
            log.heads.claim("w3", 10)  # a third one was faster
            return True

        with pytest.raises(BusyError, match="w3 is writing"):
            log.heads.claim("w2", 10, is_gone)

    def test_given_back_it_is_free_and_the_epoch_grows(self, log: TenantLog) -> None:
        first = log.heads.claim("w1", 10)
        log.heads.release(first)
        with pytest.raises(StaleLeaseError, match="nobody holds"):
            log.heads.renew(first)
        assert log.heads.claim("w1", 10).epoch == 2

    def test_a_stale_one_gives_nothing_back(self, log: TenantLog, clock: Clock) -> None:
        old = log.heads.claim("w1", 10)
        clock.now += 10
        new = log.heads.claim("w2", 10)
        log.heads.release(old)
        assert log.heads.renew(new).expires == 1020

    def test_a_commit_renews_it(self, log: TenantLog, lease: Lease, clock: Clock) -> None:
        clock.now += 9
        memorize(log, lease, [1])
        clock.now += 9
        with pytest.raises(BusyError):
            log.heads.claim("w2", 10)

    def test_an_expired_one_that_nobody_took_still_commits(
        self, log: TenantLog, lease: Lease, clock: Clock
    ) -> None:
        clock.now += 100
        assert memorize(log, lease, [1]).step == 1


class TestCommit:
    def test_a_new_tenant_serves_an_empty_head(self, log: TenantLog) -> None:
        serving = log.heads.serving()
        head = serving.head
        assert (head.step, head.history, head.fingerprint, head.serving) == (0, "", "f1", True)
        assert (serving.shards, serving.states, serving.masks) == ((), (), ())
        assert log.heads.building() is None

    def test_files_come_back_as_they_were(self, log: TenantLog, lease: Lease) -> None:
        head = log.heads.serving().head
        shards, states = [shard(0, 2), shard(2, 3)], [state(2), state(3)]
        moved = log.heads.commit(
            lease, head.id, step=3, history=history(3), shards=shards, states=states
        ).head
        serving = log.heads.serving()
        assert serving.head == moved == replace(head, step=3, epoch=1, history=history(3))
        assert (serving.shards, serving.states) == (tuple(shards), tuple(states))
        assert log.heads.files() == {f.file for f in shards} | {f.file for f in states}
        assert serving.state_at(2) == states[0]
        assert serving.state_at(1) is None

    def test_old_states_are_dropped_with_it(self, log: TenantLog, lease: Lease) -> None:
        memorize(log, lease, [1, 2])
        old, kept = log.heads.serving().states
        log.heads.commit(
            lease, log.heads.serving().head.id, step=2, history=history(2), drop_states=[old]
        )
        assert log.heads.serving().states == (kept,)

    @pytest.mark.parametrize(
        "shards", [[], [shard(1, 3)], [shard(2, 4)], [shard(2, 3), shard(4, 5)], [shard(2, 2)]]
    )
    def test_a_gap_or_overlap_is_refused(self, log: TenantLog, lease: Lease, shards: list) -> None:
        head = memorize(log, lease, [2])
        with pytest.raises(InvalidInputError, match="read the head anew"):
            log.heads.commit(lease, head.id, step=3, history=history(3), shards=shards)
        assert log.heads.serving().head.step == 2

    def test_a_stale_holder_commits_nothing(
        self, log: TenantLog, lease: Lease, clock: Clock
    ) -> None:
        head = memorize(log, lease, [1])
        before = log.heads.serving()
        clock.now += 10
        log.heads.claim("w2", 10)
        attempts = (
            lambda: memorize(log, lease, [2]),
            lambda: log.heads.truncate(lease, head.id, 0),
            lambda: log.heads.reset(lease, head.id),
            lambda: log.heads.replace_shards(lease, head.id, before.shards, [shard(0, 1)]),
            lambda: log.heads.begin_build(lease, fingerprint="f2", reason="upgrade"),
            lambda: log.heads.drop_build(lease),
            lambda: log.heads.swap(lease, head.id),
        )
        for attempt in attempts:
            with pytest.raises(StaleLeaseError, match="nothing was committed"):
                attempt()
        assert log.heads.serving() == before
        assert log.heads.building() is None

    def test_a_head_of_another_tenant_is_out_of_reach(
        self, ledger: Ledger, log: TenantLog, lease: Lease
    ) -> None:
        theirs = ledger.create_tenant("bela", "f1").heads.serving().head
        with pytest.raises(InvalidInputError, match="no head"):
            memorize(log, lease, [1], theirs)


class TestChanges:
    def test_compaction_names_other_files_for_the_same_steps(
        self, log: TenantLog, lease: Lease
    ) -> None:
        head = memorize(log, lease, [1, 2, 3])
        old = log.heads.serving().shards
        joined = shard(1, 3)
        log.heads.replace_shards(lease, head.id, old[1:], [joined])
        assert log.heads.serving().shards == (old[0], joined)

    def test_compaction_of_other_files_or_steps_is_refused(
        self, log: TenantLog, lease: Lease
    ) -> None:
        head = memorize(log, lease, [1, 2])
        old = log.heads.serving().shards
        for gone, new in (
            (old, [shard(0, 1)]),
            ([shard(0, 1)], [shard(0, 1)]),
            ([], [shard(0, 1)]),
        ):
            with pytest.raises(InvalidInputError):
                log.heads.replace_shards(lease, head.id, gone, new)
        assert log.heads.serving().shards == old

    def test_a_damaged_end_is_given_up(self, log: TenantLog, lease: Lease) -> None:
        head = memorize(log, lease, [1, 3, 4])
        kept = log.heads.serving()
        cut = log.heads.truncate(lease, head.id, 3)
        assert (cut.step, cut.history) == (3, history(3))
        serving = log.heads.serving()
        assert (serving.shards, serving.states) == (kept.shards[:2], kept.states[:2])
        assert log.documents()[0].state == "waiting"
        with pytest.raises(InvalidInputError, match="cannot go back to step 2"):
            log.heads.truncate(lease, head.id, 2, history(2))
        assert log.heads.truncate(lease, head.id, 0).history == ""

    def test_a_cold_tenant_starts_over(
        self, ledger: Ledger, log: TenantLog, lease: Lease, clock: Clock
    ) -> None:
        head = memorize(log, lease, [4])
        files = log.heads.files()
        assert ledger.referenced_files([*files, "stray"]) == files
        first = log.documents()[0].memorized
        assert log.heads.reset(lease, head.id).step == 0
        assert ledger.referenced_files(files) == set()
        clock.now += 1
        memorize(log, lease, [4])
        assert log.documents()[0].memorized == first, "as_of goes by the first time"


class TestSnapshots:
    def test_they_name_a_step(self, log: TenantLog, lease: Lease) -> None:
        memorize(log, lease, [2, 3])
        assert log.snapshots.take("now").step == 3
        assert log.snapshots.take("then", 2).step == 2
        assert [s.name for s in log.snapshots.list()] == ["then", "now"]
        assert log.snapshots.get("now").created == 1000
        log.snapshots.delete("now")
        for use in (log.snapshots.delete, log.snapshots.get):
            with pytest.raises(InvalidInputError, match="no snapshot 'now'"):
                use("now")

    @pytest.mark.parametrize(("name", "step"), [("", 1), ("a\0", 1), ("b", 4), ("c", -1)])
    def test_impossible_ones_are_refused(
        self, log: TenantLog, lease: Lease, name: str, step: int
    ) -> None:
        memorize(log, lease, [3])
        with pytest.raises(InvalidInputError):
            log.snapshots.take(name, step)

    def test_a_name_is_not_moved(self, log: TenantLog) -> None:
        log.snapshots.take("s")
        with pytest.raises(InvalidInputError, match="delete it first"):
            log.snapshots.take("s")


class TestForks:
    def test_the_log_is_copied_and_the_files_shared(
        self, ledger: Ledger, log: TenantLog, lease: Lease
    ) -> None:
        put(log, "b", 2)
        memorize(log, lease, [2, 6])
        fork = ledger.fork_tenant(log, "copy")
        assert fork.tenant.seed == log.tenant.seed
        assert fork.tenant.id != log.tenant.id
        assert [c.text for c in fork.chunks(0)] == [c.text for c in log.chunks(0)]
        mine, theirs = log.heads.serving(), fork.heads.serving()
        assert (theirs.shards, theirs.states) == (mine.shards, mine.states)
        assert (theirs.head.step, theirs.head.history) == (6, history(6))
        assert theirs.head.id != mine.head.id
        assert {d.id for d in fork.documents()}.isdisjoint(d.id for d in log.documents())
        assert not put(fork, "b", 2).new
        put(fork, "c")
        assert (log.length(), fork.length()) == (6, 8)

    def test_the_past_is_cut_inside_documents_and_shards(
        self, ledger: Ledger, log: TenantLog, lease: Lease
    ) -> None:
        memorize(log, lease, [2, 4])
        fork = ledger.fork_tenant(log, "copy", step=3, history=history(3))
        serving = fork.heads.serving()
        assert [(s.first_step, s.end) for s in serving.shards] == [(0, 2), (2, 3)]
        assert serving.head.step == fork.length() == fork.documents()[0].end == 3
        assert fork.text("a") == log.text("a")

    def test_where_the_history_is_unknown_it_goes_on_from_a_state(
        self, ledger: Ledger, log: TenantLog, lease: Lease
    ) -> None:
        memorize(log, lease, [2, 4])
        fork = ledger.fork_tenant(log, "copy", step=3)
        assert (fork.heads.serving().head.step, fork.length()) == (2, 3)
        early = ledger.fork_tenant(log, "early", step=1)
        assert (early.heads.serving().head.step, early.heads.files()) == (0, set())

    def test_what_is_being_forgotten_does_not_live_on_in_a_fork(
        self, ledger: Ledger, log: TenantLog, lease: Lease
    ) -> None:
        put(log, "b", 2)
        memorize(log, lease, [4, 6])
        log.forgets.request("b")
        with pytest.raises(InvalidInputError, match="being forgotten"):
            ledger.fork_tenant(log, "copy")
        assert ledger.fork_tenant(log, "copy", step=4).length() == 4

    def test_impossible_ones_are_refused_without_a_trace(
        self, ledger: Ledger, log: TenantLog
    ) -> None:
        for name, step in (("anna", 0), ("copy", 1), ("", 0)):
            with pytest.raises(InvalidInputError):
                ledger.fork_tenant(log, name, step)
        assert [s.tenant.name for s in ledger.tenants()] == ["anna"]
        ledger.delete_tenant("anna")
        with pytest.raises(TenantNotFoundError):
            ledger.fork_tenant(log, "copy")

    def test_shared_files_stay_while_anyone_names_them(
        self, ledger: Ledger, log: TenantLog, lease: Lease
    ) -> None:
        memorize(log, lease, [4])
        files = log.heads.files()
        ledger.fork_tenant(log, "copy")
        ledger.marked.remove(ledger.delete_tenant("anna").id)
        assert ledger.referenced_files(files) == files
