"""Plans that are kept are the ones that would be read now, and wait for what was asked for."""

from __future__ import annotations

import asyncio
import itertools
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from mplus_ray.model.errors import InvalidInputError, NotYetError, TenantNotFoundError
from mplus_ray.pipeline.chunking.chunker import Span
from mplus_ray.pipeline.ledger.filters.filter import Filter
from mplus_ray.pipeline.ledger.heads.head import Serving, read_head
from mplus_ray.pipeline.ledger.ledger import Ledger
from mplus_ray.pipeline.ledger.tenant_log import TenantLog
from mplus_ray.pipeline.maintenance.tenant_lifecycle import delete, drop_rows, sweep
from mplus_ray.pipeline.parsing.document import Details, ParsedDocument
from mplus_ray.pipeline.reading.read_plans import Plans, read_plan
from mplus_ray.pipeline.workers.worker import Worker
from tests.logs import Clock, build_without, memorize, put, shard
from tests.worlds import World, make_text, merge_all

pytest_plugins = ["tests.installations", "tests.postgres"]

LEASE = 1000.0
NUMBERS = itertools.count()


@pytest.fixture
def plans(ledger: Ledger) -> Plans:
    return Plans(ledger)


@pytest.fixture
def log(ledger: Ledger) -> TenantLog:
    return ledger.create_tenant("anna", "f1")


@contextmanager
def counting() -> Iterator[list[Serving]]:
    """The heads that are read whole."""
    read: list[Serving] = []

    def noted(*args: Any, **kwargs: Any) -> Serving | None:
        found = read_head(*args, **kwargs)
        if found is not None:
            read.append(found)
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mplus_ray.pipeline.reading.read_plans.read_head", noted)
        yield read


def compact(log: TenantLog) -> None:
    lease, serving = log.heads.claim("w", LEASE), log.heads.serving()
    if serving.shards:
        first, end = serving.shards[0].first_step, serving.shards[-1].end
        log.heads.replace_shards(lease, serving.head.id, serving.shards, [shard(first, end)])


def repair(log: TenantLog) -> None:
    """One file for another: neither the count nor the times of the shards change."""
    lease, serving = log.heads.claim("w", LEASE), log.heads.serving()
    for old in serving.shards[:1]:
        made = shard(old.first_step, old.end)
        log.heads.replace_shards(lease, serving.head.id, [old], [made])


def drop(log: TenantLog) -> None:
    serving = log.heads.serving()
    if len(serving.shards) > 1:
        log.heads.drop_shards(log.heads.claim("w", LEASE), serving.head.id, serving.shards[:1])


def grow(log: TenantLog) -> None:
    if end := log.length():
        step = log.heads.serving().head.step
        memorize(log, log.heads.claim("w", LEASE), range(step + 1, min(step + 3, end) + 1))


def forget(log: TenantLog) -> None:
    kept = [document.key for document in log.documents() if document.forget is None]
    for key in kept[:1]:
        log.forgets.request(key)


def swap(log: TenantLog) -> None:
    """Without whatever is to be forgotten; only whole logs, so that nothing is lost by it."""
    asked = [f.receipt.document for f in log.forgets.pending() if f.receipt.rebuilt is None]
    lease = log.heads.claim("w", LEASE)
    log.heads.swap(lease, build_without(log, lease, asked).id)


def truncate(log: TenantLog) -> None:
    serving = log.heads.serving()
    ends = {shard.end for shard in serving.shards}
    steps = [state.step for state in serving.states if state.step in ends]
    if steps and serving.whole:
        middle = steps[len(steps) // 2]
        log.heads.truncate(log.heads.claim("w", LEASE), serving.head.id, middle)


def reset(log: TenantLog) -> None:
    log.heads.reset(log.heads.claim("w", LEASE), log.heads.serving().head.id)


def append(log: TenantLog) -> None:
    put(log, f"d{next(NUMBERS)}", 2)


CHANGES: list[Callable[[TenantLog], None]] = [
    append, append, grow, grow, grow, forget, swap, compact, repair, drop, truncate, reset,
]  # fmt: skip


class TestExact:
    @pytest.mark.parametrize("seed", range(12))
    def test_after_any_changes_it_is_what_would_be_read(
        self, plans: Plans, log: TenantLog, seed: int
    ) -> None:
        """The clock stands still, so nothing but the version can tell."""
        rng = random.Random(seed)
        for change in rng.choices(CHANGES, k=40):
            change(log)
            fresh = read_plan(log, log.heads.serving())
            try:
                assert plans.plan(log) == fresh, change.__name__
            except NotYetError:
                lost = [d for d in log.documents() if d.memorized and d.end > fresh.step]
                assert lost, change.__name__

    def test_an_unchanged_head_is_not_read_again(self, plans: Plans, log: TenantLog) -> None:
        append(log)
        grow(log)
        with counting() as read:
            first = plans.plan(log)
            assert all(plans.plan(log) is first for _ in range(5))
            assert len(read) == 1
            append(log)
            log.snapshots.take("s")
            assert plans.plan(log) is first
            assert len(read) == 1
            compact(log)
            assert plans.plan(log) is not first
            assert len(read) == 2

    def test_another_process_changes_it(
        self, ledger_url: str, plans: Plans, log: TenantLog
    ) -> None:
        append(log)
        grow(log)
        assert plans.plan(log).forgotten == ()
        other = Ledger(ledger_url)
        forget(other.tenant("anna"))
        other.close()
        assert plans.plan(log).forgotten == ((0, 2),)

    def test_a_mask_is_never_missed(self, plans: Plans, log: TenantLog) -> None:
        """Readers at full speed beside requests: what is masked before a call is in its plan."""
        for number in range(12):
            put(log, f"d{number}", 1)
        memorize(log, log.heads.claim("w", LEASE), [12])
        masked, missed, done = 0, [], threading.Event()

        def read() -> None:
            while not done.is_set():
                before = masked
                found = plans.plan(log).forgotten
                if len(found) < before:
                    missed.append((before, found))

        with ThreadPoolExecutor(3) as pool:
            readers = [pool.submit(read) for _ in range(3)]
            for number in range(12):
                log.forgets.request(f"d{number}")
                masked += 1
            done.set()
        assert [reader.result() for reader in readers] == [None] * 3
        assert missed == []
        assert len(plans.plan(log).forgotten) == 12

    def test_a_deleted_tenant_has_none(self, ledger: Ledger, plans: Plans, log: TenantLog) -> None:
        append(log)
        grow(log)
        plans.plan(log)
        ledger.delete_tenant("anna")
        with pytest.raises(TenantNotFoundError):
            plans.plan(log, min_step=1, timeout=9)
        ledger.marked.begin_removal(log.tenant.id)
        ledger.marked.remove(log.tenant.id)
        again = ledger.create_tenant("anna", "f2")
        assert (plans.plan(again).step, plans.plan(again).fingerprint) == (0, "f2")

    def test_tenants_do_not_share_plans(self, ledger: Ledger, plans: Plans) -> None:
        logs = [ledger.create_tenant(name, "f1") for name in ("anna", "bela")]
        for number, log in enumerate(logs, 1):
            put(log, "a", number)
            grow(log)
        for _ in range(2):
            assert [plans.plan(log).step for log in logs] == [1, 2]
            assert [plans.plan(log).tenant for log in logs] == [log.tenant.id for log in logs]

    def test_few_are_kept(self, ledger: Ledger) -> None:
        plans = Plans(ledger, kept=2)
        logs = [ledger.create_tenant(name, "f1") for name in "abc"]
        with counting() as read:
            for log in (*logs[:2], *logs[:2], logs[2], logs[1], logs[0]):
                plans.plan(log)
        assert len(read) == 4
        assert len(plans._kept) == 2


class TestMoments:
    def test_as_of(self, plans: Plans, log: TenantLog) -> None:
        put(log, "a", 3)
        grow(log)
        assert [plans.plan(log, as_of=step).step for step in (0, 2, 3)] == [0, 2, 3]
        assert plans.plan(log).step == 3
        for step in (-1, 4):
            with pytest.raises(InvalidInputError, match=r"not in 0 … 3"):
                plans.plan(log, as_of=step)

    def test_min_step_is_waited_for(self, plans: Plans, log: TenantLog) -> None:
        put(log, "a", 3)
        lease = log.heads.claim("w", LEASE)
        memorize(log, lease, [1])
        assert plans.plan(log, min_step=1).step == 1
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(plans.plan, log, 3, None, 60.0)
            memorize(log, lease, [2])
            assert not waiting.done()
            memorize(log, lease, [3])
            assert waiting.result(timeout=30).step == 3

    def test_waiting_ends(self, plans: Plans, log: TenantLog) -> None:
        put(log, "a", 300)
        memorize(log, log.heads.claim("w", LEASE), [1])
        began = time.monotonic()
        with pytest.raises(NotYetError, match="1 of the 300 steps") as caught:
            plans.plan(log, min_step=300, timeout=0.1)
        assert 0.1 <= time.monotonic() - began < 5
        assert 1 <= caught.value.retry_after <= 30

    def test_more_than_the_log_has_is_all_of_it(self, plans: Plans, log: TenantLog) -> None:
        """Forgetting numbers the steps anew, so an old number may be too large."""
        put(log, "a", 2)
        put(log, "b", 2)
        grow(log)
        grow(log)
        assert plans.plan(log, min_step=4).step == 4
        forget(log)
        swap(log)
        assert plans.plan(log, min_step=4).step == 2
        put(log, "c", 2)
        with pytest.raises(NotYetError):
            plans.plan(log, min_step=10**12)
        grow(log)
        assert plans.plan(log, min_step=10**12).step == 4

    @pytest.mark.parametrize("steps", [0, 2])
    def test_more_than_the_log_ever_had_is_refused(
        self, plans: Plans, log: TenantLog, steps: int
    ) -> None:
        """At once, however long the question would wait, and whether or not all is memorized."""
        if steps:
            put(log, "a", steps)
        for _ in range(2):
            with pytest.raises(InvalidInputError, match=f"which has {steps} steps"):
                plans.plan(log, min_step=steps + 1, timeout=60.0)
            if steps:
                grow(log)

    def test_no_thread_waits_in_a_coroutine(self, plans: Plans, log: TenantLog) -> None:
        put(log, "a", 2)
        lease = log.heads.claim("w", LEASE)
        memorize(log, lease, [1])

        async def ask() -> list[int]:
            with pytest.raises(NotYetError):
                await plans.wait(log, min_step=2)
            waiting = [asyncio.create_task(plans.wait(log, 2, None, 60.0)) for _ in range(100)]
            await asyncio.sleep(0)
            await asyncio.to_thread(memorize, log, lease, [2])
            return [plan.step for plan in await asyncio.gather(*waiting)]

        assert asyncio.run(ask()) == [2] * 100


class TestUse:
    def test_a_question_keeps_a_tenant_warm(self, ledger: Ledger, clock: Clock) -> None:
        log = ledger.create_tenant("anna", "f1", cold_after=100.0)
        plans, used = Plans(ledger), []
        for seconds in (9, 1, 5, 60):
            clock.now += seconds
            plans.plan(log)
            written(ledger)
            used.append(ledger.tenant("anna").tenant.used)
        assert used == [1000, 1010, 1010, 1075]

    def test_one_that_never_gets_cold_costs_no_write(self, ledger: Ledger, clock: Clock) -> None:
        log = ledger.create_tenant("anna", "f1")
        clock.now += 1e6
        Plans(ledger).plan(log)
        assert ledger.notes._thread is None


class TestFilters:
    def test_a_plan_has_the_steps_that_a_filter_leaves(self, log: TenantLog, plans: Plans) -> None:
        for key in "abc":
            put(log, key, 2)
        memorize(log, log.heads.claim("w", LEASE), [2, 4, 6])
        wanted = Filter(ids=("a", "c"))
        assert plans.plan(log).only is None
        only = plans.plan(log, wanted=wanted).only
        assert only is not None
        assert list(only) == [(0, 2), (4, 6)]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("mplus_ray.pipeline.reading.read_plans.steps_of", None)
            assert plans.plan(log, wanted=wanted).only == only, "it is kept while nothing changes"
        log.forgets.request("a")
        only = plans.plan(log, wanted=wanted).only
        assert only is not None
        assert list(only) == [(4, 6)]
        assert plans.plan(log, wanted=Filter(ids=("nobody",))).holds_nothing

    def test_what_has_expired_is_in_no_plan(
        self, log: TenantLog, plans: Plans, clock: Clock
    ) -> None:
        put(log, "a", 2)
        text = ParsedDocument("B", "b.0 b.1", details=Details(expires_at=clock.now + 5))
        log.append(text, "b.txt", [Span(0, 3, 1), Span(4, 7, 1)], "b")
        memorize(log, log.heads.claim("w", LEASE), [2, 4])
        assert plans.plan(log).forgotten == ()
        clock.now += 5
        assert plans.plan(log).forgotten == ((2, 4),)
        assert [one.receipt.reason for one in log.forgets.pending()] == ["expired"]

    def test_a_plan_says_what_came_when(self, log: TenantLog, plans: Plans, clock: Clock) -> None:
        put(log, "new", 2)  # of 1000.0, when the clock begins
        for key, told in (("mid", 500.0), ("old", 100.0)):
            details = Details(occurred_at=told)
            text = ParsedDocument(key, f"{key}.0", details=details)
            log.append(text, f"{key}.txt", [Span(0, 5, 1)], key)
        clock.now += 50
        put(log, "last", 1)
        memorize(log, log.heads.claim("w", LEASE), [5])
        steps = {"new": 1, "mid": 2, "old": 3, "last": 4}

        def latest(moment: float | None) -> str:
            order = plans.plan(log, moment=moment).order
            assert order == read_plan(log, log.heads.serving(), moment=moment).order
            return next(key for key, step in steps.items() if step == order.latest(steps.values()))

        found = [latest(moment) for moment in (None, 100.0, 499.0, 500.0, 1000.0, 1049.0, 1050.0)]
        assert found == ["last", "old", "old", "mid", "new", "new", "last"]
        assert latest(50.0) == "last", "nothing was told of that time"

    def test_a_clock_that_goes_back_moves_no_moment(self, log: TenantLog, clock: Clock) -> None:
        lease = log.heads.claim("w", 1e6)
        for key, now, end in (("a", 1100.0, 2), ("b", 1050.0, 4), ("c", 1200.0, 6)):
            put(log, key, 2)
            clock.now = now
            memorize(log, lease, [end])
        steps = [log.step_at(time) for time in (1000.0, 1060.0, 1100.0, 1150.0, 1200.0)]
        assert steps == [0, 0, 4, 4, 6]


class TestDropped:
    """Memories that the log can make again, and that no writer makes unasked."""

    def test_a_writer_makes_it_again_for_a_question(self, world: World) -> None:
        log = world.grow("anna", [("a", make_text("a", 5)), ("b", make_text("b", 4))])
        plans, digest = Plans(world.ledger), world.digest(log)
        whole = plans.plan(log)
        drop_rows(world.engine, log)
        assert world.ledger.waiting() == []
        with pytest.raises(NotYetError, match=f"0 of the {whole.step} steps"):
            plans.plan(log)
        (waiting,) = world.ledger.waiting()
        assert (waiting.chunks, waiting.log.tenant.id) == (whole.step, log.tenant.id)
        assert waiting.turn == pytest.approx(time.time(), abs=60)
        stop = threading.Event()
        with ThreadPoolExecutor(1) as pool:
            writer = pool.submit(Worker(world.engine).run, stop)
            try:
                assert plans.plan(log, timeout=60).step == whole.step
            finally:
                stop.set()
            writer.result(timeout=30)
        assert world.digest(log) == digest
        assert world.ledger.waiting() == []

    def test_half_of_it_is_no_answer(self, ledger: Ledger, plans: Plans, log: TenantLog) -> None:
        append(log)
        append(log)
        lease = log.heads.claim("w", LEASE)
        head = memorize(log, lease, [4])
        append(log)  # not memorized yet, so not waited for
        log.heads.reset(lease, head.id)
        for end in (1, 2, 3):
            memorize(log, lease, [end])
            with pytest.raises(NotYetError, match=f"{end} of the 4 steps"):
                plans.plan(log, as_of=1)
        memorize(log, lease, [4])
        assert plans.plan(log).step == 4

    def test_one_that_nobody_wants_stays_dropped(self, world: World) -> None:
        log = world.grow("anna", [("a", make_text("a", 3))], cold_after=1e-6)
        plans = Plans(world.ledger)
        for _ in range(2):
            written(world.ledger)
            assert sweep(world.engine)["cooled"] == 1
            assert world.ledger.waiting() == []
            with pytest.raises(NotYetError):
                plans.plan(log)
            Worker(world.engine).drain()
            assert plans.plan(log).step == 3

    def test_a_fork_between_two_states_is_made_whole(self, world: World) -> None:
        log = world.grow("anna", [("a", make_text("a", 2)), ("b", make_text("b", 5))])
        fork = world.ledger.fork_tenant(log, "bela", step=2)
        assert fork.heads.serving().head.step < 2
        plans = Plans(world.ledger)
        with pytest.raises(NotYetError, match="of the 2 steps"):
            plans.plan(fork)
        Worker(world.engine).drain()
        assert plans.plan(fork).step == 2
        assert world.digest(fork) == world.digest(log, as_of=2)

    def test_a_new_log_has_an_empty_memory(self, plans: Plans, log: TenantLog) -> None:
        assert plans.plan(log).step == 0
        append(log)
        assert plans.plan(log).step == 0


class TestFiles:
    def test_merged_files_are_named_at_once(self, world: World, unmerged: None) -> None:
        log = world.grow("anna", [("a", make_text("a", 9))])
        plans = Plans(world.ledger)
        before = plans.plan(log)
        assert merge_all(world, log) > 0
        after = plans.plan(log)
        assert len(after.shards) < len(before.shards)
        assert {shard.file for shard in after.shards} <= world.names()

    def test_a_tenant_taken_away(self, world: World) -> None:
        log = world.grow("anna", [("a", make_text("a", 2))])
        plans = Plans(world.ledger)
        plans.plan(log)
        delete(world.engine, "anna")
        with pytest.raises(TenantNotFoundError):
            plans.plan(log)
        plans.forget(log.tenant.id)
        assert not plans._kept


def written(ledger: Ledger) -> None:
    """Wait until all notes that were taken are in the ledger."""
    if ledger.notes._thread is not None:
        ledger.notes._thread.submit(lambda: None).result(timeout=10)
