"""Filters in both ledgers: what they leave is what a loop over the documents leaves."""

from __future__ import annotations

from typing import Any

import pytest

from mplus_ray.model.errors import InvalidInputError
from mplus_ray.pipeline.chunking.chunker import Span
from mplus_ray.pipeline.ledger.filters.filter import MAX_VALUES, Filter, conditions_of
from mplus_ray.pipeline.ledger.ledger import Ledger
from mplus_ray.pipeline.ledger.tenant_log import Accepted, TenantLog
from mplus_ray.pipeline.parsing.document import Details, ParsedDocument
from mplus_ray.pipeline.reading.read_plans import Plans
from tests.logs import Clock

pytest_plugins = ["tests.postgres"]


def put(log: TenantLog, key: str, details: Details = Details(), **metadata: Any) -> Accepted:  # noqa: B008
    text = f"{key} says more"
    spans = [Span(0, len(key), 1), Span(len(key) + 1, len(text), 2)]
    document = ParsedDocument(key, text, metadata=metadata, details=details)
    return log.append(document, f"{key}.txt", spans, key)


@pytest.fixture
def log(ledger: Ledger, clock: Clock) -> TenantLog:
    log = ledger.create_tenant("anna", "f1")
    put(log, "a", Details("s1", ("news", "old"), 100.0), author="Ilse", year=2019, draft=True)
    put(log, "b", Details("s1", ("news",)), author="Otto", year="2020", by={"town": "Brelin"})
    put(log, "c", Details("s2"), author=["Ilse", "Otto"], year=2021.5, day="2026-03-01")
    clock.now = 5000.0
    long: dict[str, Any] = {"k" * 300 + "1": "x"}
    put(log, "d", author="Ümit", year="n/a", day="2026-11-30", many="x" * 500, **long)
    other = ledger.create_tenant("bela", "f1")
    put(other, "z", Details("s1", ("news",)), author="Ilse", year=2019)
    return log


@pytest.mark.parametrize(
    ("wanted", "left"),
    [
        (Filter(), "abcd"),
        (Filter(sessions=("s1",)), "ab"),
        (Filter(sessions=("s2", "s1")), "abc"),
        (Filter(tags=("news",)), "ab"),
        (Filter(tags=("news", "old")), "a"),
        (Filter(ids=("d", "a", "nobody")), "ad"),
        (Filter(after=5000.0), "d"),
        (Filter(before=1000.0), "a"),
        (Filter(after=100.0, before=5000.0), "abc"),
        (Filter(metadata=conditions_of({"author": "Ilse"})), "ac"),
        (Filter(metadata=conditions_of({"author": ["Otto", "Ümit"]})), "bcd"),
        (Filter(metadata=conditions_of({"author": {"ne": "Ilse"}})), "bd"),
        (Filter(metadata=conditions_of({"year": {"gte": 2020}})), "bc"),
        (Filter(metadata=conditions_of({"year": {"gt": 2019, "lte": 2020}})), "b"),
        (Filter(metadata=conditions_of({"year": 2020})), "b"),
        (Filter(metadata=conditions_of({"year": 2019.0})), "a"),
        (Filter(metadata=conditions_of({"day": {"lt": "2026-04"}})), "c"),
        (Filter(metadata=conditions_of({"day": {"gte": "2026"}})), "cd"),
        (Filter(metadata=conditions_of({"year": {"gte": "2020"}})), "bcd"),
        (Filter(metadata=conditions_of({"year": {"lt": "zzz"}})), "abcd"),
        (Filter(metadata=conditions_of({"many": {"gt": "m"}})), ""),
        (Filter(metadata=conditions_of({"draft": {"ne": 1}})), "abcd"),
        (Filter(metadata=conditions_of({"Author": {"exists": True}})), ""),
        (Filter(metadata=conditions_of({"bY": {"exists": True}})), ""),
        (Filter(metadata=conditions_of({"k" * 300 + "1": "x"})), "d"),
        (Filter(metadata=conditions_of({"k" * 300 + "2": {"exists": True}})), ""),
        (Filter(tags=("news",) * 300), "ab"),
        (Filter(metadata=conditions_of({"day": {"exists": True}})), "cd"),
        (Filter(metadata=conditions_of({"by": {"exists": True}})), "b"),
        (Filter(metadata=conditions_of({"by.town": "Brelin"})), "b"),
        (Filter(metadata=conditions_of({"draft": True})), "a"),
        (Filter(metadata=conditions_of({"draft": {"exists": False}})), "bcd"),
        (Filter(metadata=conditions_of({"many": "x" * 500})), "d"),
        (Filter(metadata=conditions_of({"author": "Ilse", "year": {"gt": 2020}})), "c"),
        (Filter(("s1",), metadata=conditions_of({"author": "Ümit"})), ""),
    ],
)
def test_what_a_filter_leaves(log: TenantLog, wanted: Filter, left: str) -> None:
    page = log.page(wanted=wanted)
    assert "".join(one.key for one in page.documents) == left
    steps = {step for one in page.documents for step in range(one.first_step, one.end)}
    mask = log.steps_left(wanted).mask(8)
    assert {step for step in range(8) if mask[step]} == steps


def test_what_is_being_forgotten_has_no_steps(log: TenantLog) -> None:
    log.forgets.request("a")
    assert list(log.steps_left(Filter(tags=("news",)))) == [(2, 4)]


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({"a": {"near": 3}}, "'near' is no comparison"),
        ({"a": {}}, "asks for nothing"),
        ({"a": None}, "a value is a text"),
        ({"a": {"gte": [1]}}, "a value is a text"),
        ({"a": {"exists": 1}}, "exists is true or false"),
        ({"a": [{"b": 1}]}, "author.name"),
        ({"a": {"lt": True}}, "no order"),
        ({"a": float("inf")}, "not finite"),
    ],
)
def test_what_cannot_be_compared_is_named(metadata: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        conditions_of(metadata)


def test_a_filter_has_its_limits() -> None:
    with pytest.raises(InvalidInputError, match="at most"):
        Filter(ids=tuple(map(str, range(MAX_VALUES + 1))))
    with pytest.raises(InvalidInputError, match="no time"):
        Filter(after=2.0, before=2.0)
    assert not Filter()


def test_said_again_it_is_said_anew(log: TenantLog) -> None:
    version = log.heads.serving()
    again = put(log, "a", Details(tags=("new",)), author="Jutta")
    assert (again.new, again.updated) == (False, True)
    assert [one.key for one in log.page(wanted=Filter(tags=("new",))).documents] == ["a"]
    assert not log.page(wanted=Filter(tags=("old",))).documents
    found = log.document("a")
    assert found.details == Details("s1", ("new",), 100.0), "what was not given stays"
    assert found.metadata["author"] == "Jutta"
    assert found.metadata["year"] == 2019
    assert log.heads.serving().head.step == version.head.step
    assert put(log, "a", author="Jutta").updated is False


def test_a_text_of_an_earlier_time_takes_no_place(log: TenantLog) -> None:
    spans = [Span(0, 5, 1)]
    undated = ParsedDocument("c", "older", details=Details(occurred_at=1.0))
    assert log.append(undated, "c.txt", spans, "c").replaced, "nobody said when the first was"
    older = ParsedDocument("a", "older", details=Details(occurred_at=50.0))
    with pytest.raises(InvalidInputError, match="of a later time"):
        log.append(older, "a.txt", spans, "a")
    newer = ParsedDocument("a", "newer", details=Details(occurred_at=150.0))
    assert log.append(newer, "a.txt", spans, "a").replaced


def test_one_receipt_for_all_that_a_filter_leaves(log: TenantLog) -> None:
    receipt = log.forgets.request_all(Filter(tags=("news",)))
    assert (receipt.documents, receipt.purged) == (2, None)
    states = {one.key: one.state for one in log.documents()}
    assert (states["a"], states["b"]) == ("forgetting", "forgetting")
    assert states["c"] != "forgetting"
    job = log.jobs.get(receipt.id)
    assert (job.kind, job.state, job.documents, job.memorized) == ("forget", "waiting", 2, 0)
    assert [one.id for one in log.jobs.list()] == [receipt.id], "it is listed once"
    nothing = log.forgets.request_all(Filter(tags=("news",)))
    assert (nothing.documents, nothing.purged is None) == (0, False)
    with pytest.raises(InvalidInputError, match="says nothing"):
        log.forgets.request_all(Filter())


def test_what_has_expired_is_forgotten_and_nothing_else(
    ledger: Ledger, log: TenantLog, clock: Clock
) -> None:
    put(log, "soon", Details(expires_at=6000.0))
    put(log, "later", Details(expires_at=7000.0))
    assert ledger.forget_expired() == 0
    clock.now = 6000.0
    assert ledger.forget_expired() == 1
    (pending,) = log.forgets.pending()
    assert (pending.receipt.document, pending.receipt.reason) == ("soon", "expired")
    assert ledger.forget_expired() == 0


def test_what_comes_again_after_its_time_is_new(
    ledger: Ledger, log: TenantLog, clock: Clock
) -> None:
    put(log, "again", Details(expires_at=6000.0))
    clock.now = 6000.0
    assert log.document("again").state == "forgetting"
    once_more = put(log, "again", Details(expires_at=7000.0))
    assert (once_more.new, once_more.updated) == (True, False)
    assert log.document("again").state != "forgetting"
    assert [one.receipt.reason for one in log.forgets.pending()] == ["expired"]


def test_true_is_not_one(log: TenantLog) -> None:
    assert put(log, "a", draft=1).updated
    assert put(log, "a", draft=True).updated
    plans = Plans(None)  # type: ignore[arg-type]
    left = [
        plans.plan(log, wanted=Filter(metadata=conditions_of({"draft": value}))).only
        for value in (True, 1)
    ]
    assert [len(one or ()) for one in left] == [1, 0]


def test_a_tenant_s_documents_live_as_long_as_it_says(
    ledger: Ledger, log: TenantLog, clock: Clock
) -> None:
    log.set_limits(ttl=10.0)
    put(log, "short")
    put(log, "long", Details(expires_at=9000.0))
    assert log.document("short").details.expires_at == clock.now + 10
    clock.now += 10
    ledger.forget_expired()
    assert [one.receipt.document for one in log.forgets.pending()] == ["short"]
