"""Quotas of each session, tag and value of a field: counted in the transaction that would fill
them."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from mplus_ray.model.errors import AttributeQuotaError, InvalidInputError, QuotaError
from mplus_ray.pipeline.chunking.chunker import Span
from mplus_ray.pipeline.ledger.filters.filter import Filter, conditions_of
from mplus_ray.pipeline.ledger.ledger import Ledger
from mplus_ray.pipeline.ledger.tenant_log import Accepted, Entry, TenantLog
from mplus_ray.pipeline.parsing.document import Details, ParsedDocument
from tests.logs import Clock

pytest_plugins = ["tests.postgres"]

TWO = {"max_documents": 2}


def entry(
    key: str,
    session: str | None = None,
    tags: Sequence[str] = (),
    metadata: dict[str, Any] | None = None,
    chunks: int = 1,
    text: str = "",
) -> Entry:
    written = text or f"text of {key}"
    document = ParsedDocument(
        key, written, metadata=metadata or {}, details=Details(session, tuple(tags))
    )
    spans = [Span(n, n + 1, 1) for n in range(chunks)]
    return Entry(document, f"{key}.txt", spans, key)


def put(log: TenantLog, *arguments: Any, **named: Any) -> Accepted:
    made = entry(*arguments, **named)
    return log.append(made.document, made.source, made.spans, made.key)


def limited(ledger: Ledger, quotas: dict[str, Any], **settings: Any) -> TenantLog:
    return ledger.create_tenant("anna", "f1", attribute_quotas=quotas, **settings)


@contextmanager
def statements() -> Iterator[list[str]]:
    """What is sent to any database meanwhile."""
    sent: list[str] = []

    def note(_c: Any, _u: Any, statement: str, *_rest: Any) -> None:
        sent.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(Engine, "before_cursor_execute", note)


class TestAppending:
    def test_each_session_has_its_own(self, ledger: Ledger) -> None:
        log = limited(ledger, {"session": TWO})
        for key in ("a1", "a2"):
            put(log, key, "anna")
        message = (
            r"session 'anna' may have 2 documents, it has 2 and would have 3 .* forget others of it"
            r".*max_documents of session in the tenant's attribute_quotas"
        )
        with pytest.raises(AttributeQuotaError, match=message):
            put(log, "a3", "anna")
        assert put(log, "b1", "bela").new
        assert put(log, "c1").new, "documents of no session have no such quota"
        assert not put(log, "a1", "anna").new, "what is there is found"

    def test_bytes_are_of_rows_and_metadata(self, ledger: Ledger) -> None:
        log = limited(ledger, {"tag": {"max_bytes": 300}}, bytes_per_step=100)
        put(log, "a", None, ["x", "y"], chunks=2)
        with pytest.raises(AttributeQuotaError, match=r"tag 'y' .* it has 200 and would have 400"):
            put(log, "b", None, ["y", "z"], chunks=2)
        assert put(log, "b", None, ["z"], chunks=2).new
        with pytest.raises(AttributeQuotaError, match="tag 'w'"):
            put(log, "c", None, ["w"], {"long": "x" * 2000})

    def test_fields_of_metadata(self, ledger: Ledger) -> None:
        log = limited(ledger, {"metadata.of.project": TWO})
        put(log, "a", metadata={"of": {"project": 5}})
        put(log, "b", metadata={"of": {"project": ["5", "6"]}})
        with pytest.raises(AttributeQuotaError, match=r"metadata.of.project '5' may have 2"):
            put(log, "c", metadata={"of": {"project": 5.0}})
        assert put(log, "c", metadata={"of": {"project": 6}, "project": 5}).new

    def test_a_full_session_leaves_the_rest_of_a_group_alone(self, ledger: Ledger) -> None:
        log = limited(ledger, {"session": TWO})
        named = [("a1", "a"), ("b1", "b"), ("a2", "a"), ("a3", "a"), ("b2", "b"), ("c1", "c")]
        outcomes = log.append_many([entry(key, session) for key, session in named])
        kept = [key for (key, _), one in zip(named, outcomes, strict=True) if is_new(one)]
        assert kept == ["a1", "b1", "a2", "b2", "c1"]
        assert isinstance(outcomes[3], AttributeQuotaError)
        assert [one.key for one in log.documents()] == kept

    def test_the_tenant_s_own_ends_it(self, ledger: Ledger) -> None:
        log = limited(ledger, {"session": {"max_documents": 1}}, max_documents=2)
        outcomes = log.append_many([entry(f"{n}", f"s{n}") for n in range(4)])
        assert len(outcomes) == 3
        assert isinstance(outcomes[-1], QuotaError)

    def test_a_lower_quota_keeps_what_is_there(self, ledger: Ledger) -> None:
        log = limited(ledger, {"session": TWO}, bytes_per_step=10)
        put(log, "a", "s", chunks=3)
        put(log, "b", "s")
        log.set_limits(attribute_quotas={"session": {"max_documents": 1, "max_bytes": 10}})
        assert put(log, "a", "s", chunks=1, text="shorter").replaced
        log.change("b", {"tags": ["t"]})
        with pytest.raises(AttributeQuotaError):
            put(log, "a", "s", chunks=2, text="longer again")
        log.set_limits(attribute_quotas=None)
        assert put(log, "c", "s").new


class TestChanging:
    def test_a_replaced_version_frees_what_it_had(self, ledger: Ledger) -> None:
        log = limited(ledger, {"session": TWO, "tag": TWO})
        put(log, "a", "s", ["t"])
        put(log, "b", "s", ["t"])
        assert put(log, "a", "s", ["t"], text="new").replaced
        assert put(log, "a", "other", ["t"], text="newer").replaced
        assert put(log, "c", "s").new, "the new version is in another session"
        with pytest.raises(AttributeQuotaError, match="session 's'"):
            put(log, "d", "s")

    def test_so_it_is_within_a_group(self, ledger: Ledger) -> None:
        log = limited(ledger, {"session": TWO})
        put(log, "old", "t")
        group = [
            entry("a", "s"),
            entry("b", "s"),
            entry("a", "t", text="moved"),
            entry("c", "s"),
            entry("d", "s"),
            entry("e", "t"),
            entry("b", "u"),  # described anew
            entry("d", "s"),
        ]
        outcomes = log.append_many(group)
        refused = [n for n, one in enumerate(outcomes) if not isinstance(one, Accepted)]
        assert refused == [4, 5]
        assert {s: log.usage(Filter(sessions=(s,)))[0].documents for s in "stu"} == {
            "s": 2,
            "t": 2,
            "u": 1,
        }

    def test_a_patch_into_a_full_one_is_refused(self, ledger: Ledger) -> None:
        quotas = {"session": {"max_documents": 1}, "tag": {"max_documents": 1}}
        log = limited(ledger, quotas)
        put(log, "a", "s", ["t"])
        put(log, "b")
        for changes, full in (({"session": "s"}, "session 's'"), ({"tags": ["t"]}, "tag 't'")):
            with pytest.raises(AttributeQuotaError, match=full):
                log.change("b", changes)
        assert log.document("b").details == Details()
        log.change("a", {"session": "other", "tags": None})
        log.change("b", {"session": "s", "tags": ["t"]})
        with pytest.raises(AttributeQuotaError, match="session 's'"):
            put(log, "a", "s")  # the same text, described anew
        assert log.document("a").details.session == "other"

    def test_forgetting_and_expiry_free(self, ledger: Ledger, clock: Clock) -> None:
        log = limited(ledger, {"session": {"max_documents": 1}})
        put(log, "a", "s")
        log.forgets.request("a")
        put(log, "b", "s")
        log.change("b", {"expires_at": clock.now + 5})
        with pytest.raises(AttributeQuotaError):
            put(log, "c", "s")
        clock.now += 6
        assert put(log, "c", "s").new

    def test_a_fork_counts_its_own(self, ledger: Ledger) -> None:
        log = limited(ledger, {"session": {"max_documents": 1}})
        put(log, "a", "s")
        fork = ledger.fork_tenant(log, "anna/draft", 0)
        assert fork.tenant.attribute_quotas == log.tenant.attribute_quotas
        assert put(fork, "a", "s").new
        with pytest.raises(AttributeQuotaError):
            put(log, "b", "s")

    def test_another_tenant_s_do_not_count(self, ledger: Ledger) -> None:
        log = limited(ledger, {"session": {"max_documents": 1}})
        other = ledger.create_tenant("bela", "f1")
        for key in "abc":
            put(other, key, "s")
        assert put(log, "a", "s").new
        assert other.usage(Filter(sessions=("s",)))[0].documents == 3


def test_two_writers_cannot_both_take_the_last_place(ledger: Ledger) -> None:
    log = limited(ledger, {"session": {"max_documents": 5}})
    start = threading.Barrier(4)

    def write(worker: int) -> int:
        start.wait()
        group = [entry(f"{worker}-{n}", "s", text=f"{worker} {n}") for n in range(4)]
        return sum(is_new(one) for one in log.append_many(group))

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(write, range(4))) == 5
    assert log.usage(Filter(sessions=("s",)))[0].documents == 5


class TestCost:
    def test_tenants_without_pay_nothing(self, ledger: Ledger) -> None:
        log = ledger.create_tenant("anna", "f1")
        with statements() as sent:
            log.append_many([entry(f"{n}", f"s{n}", ["t"]) for n in range(20)])
        assert not [one for one in sent if "SELECT" in one and "attributes" in one]

    def test_a_group_asks_once_for_each_name(self, ledger: Ledger) -> None:
        log = limited(ledger, {"session": TWO, "tag": {"max_documents": 50}})
        with statements() as sent:
            log.append_many([entry(f"{n}", f"s{n}", ["t", f"t{n}"]) for n in range(20)])
        assert len([one for one in sent if "SELECT" in one and "attributes" in one]) == 2

    def test_it_is_counted_by_the_index(self, tmp_path: Path) -> None:
        ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
        log = limited(ledger, {"session": TWO})
        with statements() as sent:
            put(log, "a", "s")
        (counting,) = (one for one in sent if "SELECT" in one and "attributes" in one)
        with log.scope.reading() as connection:
            values = ("anna",) * counting.count("?")
            rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {counting}", values).all()
        plan = [row[3] for row in rows]
        assert not [step for step in plan if step.startswith("SCAN")], plan
        ledger.close()


def test_usage_is_of_what_a_filter_leaves(ledger: Ledger) -> None:
    log = ledger.create_tenant("anna", "f1", bytes_per_step=10)
    put(log, "a", "s", ["t"], {"project": "x"}, chunks=3)
    put(log, "b", "s", metadata={"long": "x" * 2000}, chunks=2)
    put(log, "c", "s")
    log.forgets.request("c")
    used, tokens = log.usage(Filter(sessions=("s",)))
    assert (used.documents, used.steps, tokens) == (2, 5, 5)
    assert used.nbytes(10) == 50 + used.metadata > 1000
    assert log.usage(Filter(metadata=conditions_of({"project": "x"})))[0].steps == 3
    assert log.usage()[0] == used
    assert log.usage(Filter(tags=("nobody",)))[0].documents == 0


@pytest.mark.parametrize(
    ("quotas", "reason"),
    [
        ([], "is an object"),
        ({"user": TWO}, "'user' can have none; use `session`"),
        ({"metadata.": TWO}, "can have none"),
        ({"metadata.a\0b": TWO}, "can have none"),
        ({f"metadata.{n}": TWO for n in range(11)}, "has 11 names; 10"),
        ({"session": 3}, r"session is an object of max_documents and max_bytes"),
        ({"session": {"max_tokens": 3}}, r"session is an object of max_documents and max_bytes"),
        ({"tag": {"max_bytes": -1}}, r"tag.max_bytes: -1 is no limit"),
        ({"tag": {"max_bytes": 2**63}}, "is no limit"),
        ({"tag": {"max_documents": True}}, "True is no limit"),
        ({"tag": {"max_documents": 1.5}}, "1.5 is no limit"),
    ],
)
def test_what_are_no_quotas(tmp_path: Path, quotas: Any, reason: str) -> None:
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    log = limited(ledger, {"session": TWO})
    with pytest.raises(InvalidInputError, match=reason):
        log.set_limits(attribute_quotas=quotas)
    assert ledger.tenant("anna").tenant.attribute_quotas == {"session": TWO}
    ledger.close()


def is_new(outcome: Any) -> bool:
    return isinstance(outcome, Accepted) and outcome.new
