"""Forgetting: masked at once, rebuilt beside what serves, and afterwards as if it never came."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mplus_ray.model.errors import BehindError, DocumentNotFoundError, InvalidInputError
from mplus_ray.pipeline.chunking.chunker import Span
from mplus_ray.pipeline.ledger.heads.rechunk import rechunk
from mplus_ray.pipeline.ledger.heads.renumbering import StepMap
from mplus_ray.pipeline.ledger.heads.tenant_heads import Lease
from mplus_ray.pipeline.ledger.ledger import Ledger
from mplus_ray.pipeline.ledger.tenant_log import TenantLog
from tests.logs import Clock, build_without, history, memorize, put, state, words

pytest_plugins = ["tests.postgres"]


@pytest.fixture
def log(ledger: Ledger) -> TenantLog:
    """Three documents of two, three and two chunks: steps 0-1, 2-4, 5-6."""
    log = ledger.create_tenant("anna", "f1")
    for key, count in (("a", 2), ("b", 3), ("c", 2)):
        put(log, key, count)
    return log


@pytest.fixture
def lease(log: TenantLog) -> Lease:
    return log.heads.claim("w", 10)


class TestRequests:
    def test_it_is_masked_on_return(self, log: TenantLog, clock: Clock) -> None:
        forget = log.forgets.request("b")
        receipt = forget.receipt
        assert (receipt.document, receipt.requested, receipt.masked) == ("b", 1000, 1000)
        assert (receipt.rebuilt, receipt.purged) == (None, None)
        assert log.heads.serving().masks == ((2, 5),)
        assert log.forgets.get(receipt.id) == forget
        assert log.forgets.pending() == log.forgets.list() == [forget]

    def test_asking_twice_is_asking_once(self, log: TenantLog, lease: Lease, clock: Clock) -> None:
        first = log.forgets.request("b")
        clock.now += 1
        assert log.forgets.request("b") == first
        log.heads.swap(lease, build_without(log, lease, ["b"]).id)
        assert log.forgets.request("b").receipt.id == first.receipt.id

    def test_unknown_ones_are_named(self, ledger: Ledger, log: TenantLog) -> None:
        mine = log.forgets.request("a")
        bela = ledger.create_tenant("bela", "f1")
        for use in (
            lambda: log.forgets.request("x"),
            lambda: log.forgets.get("x"),
            lambda: bela.forgets.request("a"),
            lambda: bela.forgets.get(mine.receipt.id),
        ):
            with pytest.raises(DocumentNotFoundError):
                use()

    def test_each_stage_has_its_time(self, log: TenantLog, lease: Lease, clock: Clock) -> None:
        number = log.forgets.request("b").receipt.id
        log.forgets.mark_purged([number])
        assert log.forgets.get(number).receipt.purged is None, "nothing is purged before rebuilt"
        clock.now = 2000
        log.heads.swap(lease, build_without(log, lease, ["b"]).id)
        assert log.forgets.get(number).receipt.rebuilt == 2000
        clock.now = 3000
        log.forgets.mark_purged([number])
        clock.now = 4000
        log.forgets.mark_purged([number])
        receipt = log.forgets.get(number).receipt
        assert (receipt.rebuilt, receipt.purged) == (2000, 3000)
        assert log.forgets.pending() == []


class TestBuild:
    def test_it_counts_as_if_the_document_had_never_come(self, log: TenantLog) -> None:
        left_out = [log.forgets.request("b").document]
        expected = [*words("a", 2), *words("c", 2)]
        assert [(c.step, c.text) for c in log.chunks(0, left_out)] == list(enumerate(expected))
        assert [c.text for c in log.chunks(3, left_out)] == ["c.1"]
        assert (log.length(left_out), log.length()) == (4, 7)

    def test_the_old_head_serves_until_the_swap(self, log: TenantLog, lease: Lease) -> None:
        memorize(log, lease, [2, 7])
        old = log.heads.serving()
        building = build_without(log, lease, ["b"])
        serving = log.heads.serving()
        assert (serving.head, serving.shards) == (old.head, old.shards)
        found = log.heads.building()
        assert found is not None
        assert found.head == building
        assert (found.masks, serving.masks) == ((), ((2, 5),))
        log.heads.swap(lease, building.id)
        after = log.heads.serving()
        assert after.head.id == building.id
        assert (after.shards, after.masks, after.head.excluded) == (found.shards, (), ())
        assert log.heads.building() is None
        shards, states = ({f.file for f in files} for files in (found.shards, found.states))
        assert log.heads.files() == shards | states
        assert [(d.key, d.first_step, d.end, d.state) for d in log.documents()] == [
            ("a", 0, 2, "memorized"),
            ("c", 2, 4, "memorized"),
        ]
        assert [c.text for c in log.chunks(0)] == [*words("a", 2), *words("c", 2)]
        assert log.passage(2).text == "c.0"

    def test_it_may_share_what_lies_before(self, log: TenantLog, lease: Lease) -> None:
        memorize(log, lease, [2, 7])
        serving = log.heads.serving()
        building = log.heads.begin_build(
            lease,
            fingerprint="f1",
            reason="forget",
            excluded=[log.forgets.request("b").document],
            step=2,
            history=history(2),
            shards=serving.shards[:1],
            states=serving.states[:1],
        )
        memorize(log, lease, [4], building)
        log.heads.swap(lease, building.id)
        assert log.heads.serving().shards[0] == serving.shards[0]

    def test_one_that_is_behind_does_not_serve(self, log: TenantLog, lease: Lease) -> None:
        memorize(log, lease, [7])
        left_out = [log.forgets.request("b").document]
        building = log.heads.begin_build(
            lease, fingerprint="f1", reason="forget", excluded=left_out
        )
        memorize(log, lease, [3], building)
        with pytest.raises(InvalidInputError, match="3 steps of the 4"):
            log.heads.swap(lease, building.id)
        assert log.length() == 7
        found = log.heads.building()
        assert found is not None
        memorize(log, lease, [4], found.head)
        assert log.heads.swap(lease, building.id).step == 4

    def test_what_comes_meanwhile_is_kept(self, log: TenantLog, lease: Lease) -> None:
        memorize(log, lease, [7])
        building = build_without(log, lease, ["a"])
        put(log, "d", 1)
        late = log.forgets.request("c")
        found = log.heads.building()
        assert found is not None
        assert found.masks == ((3, 5),), "c in the numbering of the building head"
        log.heads.swap(lease, building.id)
        assert [c.text for c in log.chunks(0)] == [*words("b", 3), *words("c", 2), "d.0"]
        assert log.heads.serving().masks == ((3, 5),)
        assert log.forgets.get(late.receipt.id).receipt.rebuilt is None

    def test_snapshots_move_with_the_log(self, log: TenantLog, lease: Lease) -> None:
        memorize(log, lease, [7])
        for step in (1, 2, 3, 5, 6, 7):
            log.snapshots.take(str(step), step)
        log.heads.swap(lease, build_without(log, lease, ["b"]).id)
        moved = {s.name: s.step for s in log.snapshots.list()}
        assert moved == {"1": 1, "2": 2, "3": 2, "5": 2, "6": 3, "7": 4}

    def test_another_model_takes_over_the_whole_log(self, log: TenantLog, lease: Lease) -> None:
        """It cuts every document into one chunk."""
        memorize(log, lease, [7])
        keys = [document.key for document in log.documents()]
        building = log.heads.begin_build(lease, fingerprint="f2", reason="upgrade")
        with pytest.raises(BehindError):
            log.heads.swap(lease, building.id)
        rechunk(log.scope, lease, building.id, (), lambda text, _: [Span(0, len(text), 9)])
        building = memorize(log, lease, [len(keys)], building)
        put(log, "late")
        with pytest.raises(BehindError):
            log.heads.swap(lease, building.id)
        rechunk(log.scope, lease, building.id, (), lambda text, _: [Span(0, len(text), 9)])
        memorize(log, lease, [len(keys) + 1], building)
        assert log.tenant.fingerprint == "f1"
        head = log.heads.swap(lease, building.id)
        assert (head.fingerprint, head.reason) == ("f2", "serving")
        assert log.length() == head.step == len(keys) + 1
        documents = log.documents()
        assert [document.key for document in documents] == [*keys, "late"]
        assert [document.first_step for document in documents] == list(range(len(documents)))
        assert [chunk.text for chunk in log.chunks(0)] == [log.text(d.key) for d in documents]

    def test_a_new_build_takes_the_place_of_an_unfinished_one(
        self, log: TenantLog, lease: Lease
    ) -> None:
        first = build_without(log, lease, ["a"])
        second = build_without(log, lease, ["a", "b"])
        found = log.heads.building()
        assert found is not None
        assert found.head.id == second.id
        with pytest.raises(InvalidInputError, match="no head"):
            log.heads.swap(lease, first.id)
        log.heads.drop_build(lease)
        log.heads.drop_build(lease)
        assert log.heads.building() is None

    def test_nothing_is_left_out_that_nobody_asked_to_forget(
        self, ledger: Ledger, log: TenantLog, lease: Lease
    ) -> None:
        kept = log.document("a").id
        theirs = ledger.create_tenant("bela", "f1")
        put(theirs, "a")
        for excluded in ([kept], [theirs.forgets.request("a").document], ["x"]):
            with pytest.raises(InvalidInputError, match=r"no forget request|not in the log"):
                log.heads.begin_build(lease, fingerprint="f1", reason="forget", excluded=excluded)

    def test_impossible_beginnings_are_refused(self, log: TenantLog, lease: Lease) -> None:
        memorize(log, lease, [2])
        shards = log.heads.serving().shards
        for wrong in (
            {"reason": "fun"},
            {"step": 1, "shards": shards},
            {"step": 3, "shards": shards},
            {"step": 2, "shards": shards, "states": [state(3)]},
        ):
            values = {"fingerprint": "f1", "reason": "forget", **wrong}
            with pytest.raises(InvalidInputError):
                log.heads.begin_build(lease, **values)  # type: ignore[arg-type]
        with pytest.raises(InvalidInputError, match="serves already"):
            log.heads.swap(lease, log.heads.serving().head.id)

    def test_all_may_be_forgotten(self, log: TenantLog, lease: Lease) -> None:
        memorize(log, lease, [7])
        log.heads.swap(lease, build_without(log, lease, ["a", "b", "c"]).id)
        assert (log.length(), log.documents(), log.heads.serving().head.step) == (0, [], 0)
        assert put(log, "a").first_step == 0


@dataclass
class PlainLog:
    """What the ledger is compared with: documents and snapshots in Python's own words."""

    documents: list[tuple[str, int]] = field(default_factory=list)

    @property
    def texts(self) -> list[str]:
        return [text for key, count in self.documents for text in words(key, count)]

    def forget(self, keys: set[str]) -> None:
        self.documents = [d for d in self.documents if d[0] not in keys]

    def kept_below(self, step: int, keys: set[str]) -> int:
        return sum(text.split(".")[0] not in keys for text in self.texts[:step])


@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_forgetting_is_never_having_been_told(ledger: Ledger, data: st.DataObject) -> None:
    """Rounds of random documents and random forgets, compared with a list."""
    log, plain = ledger.create_tenant(uuid.uuid4().hex, "f1"), PlainLog()
    lease = log.heads.claim("w", 10)
    for number in range(data.draw(st.integers(1, 3))):
        for index, count in enumerate(data.draw(st.lists(st.integers(1, 4), max_size=4))):
            plain.documents.append((f"k{number}-{index}", count))
            put(log, *plain.documents[-1])
        length = len(plain.texts)
        if log.heads.serving().head.step < length:
            memorize(log, lease, [length])
        keys = [key for key, _ in plain.documents]
        gone = data.draw(st.sets(st.sampled_from(keys))) if keys else set()
        snapshot = log.snapshots.take(f"s{number}", data.draw(st.integers(0, length)))
        expected = plain.kept_below(snapshot.step, gone)
        building = build_without(log, lease, sorted(gone))
        late = f"late{number}"
        plain.documents.append((late, 1))
        put(log, late, 1)
        log.heads.swap(lease, building.id)
        plain.forget(gone)
        assert [(c.step, c.text) for c in log.chunks(0)] == list(enumerate(plain.texts))
        assert [(d.key, d.end - d.first_step) for d in log.documents()] == plain.documents
        assert [log.passage(step).text for step in range(log.length())] == plain.texts
        assert log.snapshots.get(snapshot.name).step == expected


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 4)), max_size=5), st.integers(0, 20))
def test_numberings_map_both_ways(gaps: list[tuple[int, int]], step: int) -> None:
    ranges, at = [], 0
    for kept, left_out in gaps:
        ranges.append((at + kept, at + kept + left_out))
        at = ranges[-1][1]
    exclusion = StepMap(tuple(ranges))
    kept_steps = [s for s in range(100) if not any(a <= s < b for a, b in ranges)]
    assert exclusion.to_log(step) == kept_steps[step]
    assert exclusion.to_head(kept_steps[step]) == step
    assert exclusion.before(step) == sum(a <= s < b for a, b in ranges for s in range(step))
