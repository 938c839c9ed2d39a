"""Documents page by page, and the passages of one."""

from __future__ import annotations

import pytest

from mplus_ray.model.errors import DocumentNotFoundError, InvalidInputError
from mplus_ray.pipeline.chunking.chunker import Span
from mplus_ray.pipeline.ledger.documents.documents import DocumentState
from mplus_ray.pipeline.ledger.ledger import Ledger
from mplus_ray.pipeline.ledger.tenant_log import TenantLog
from mplus_ray.pipeline.parsing.document import ParsedDocument, Section
from tests.logs import Clock, build_without, memorize, put

pytest_plugins = ["tests.postgres"]

STATES: tuple[DocumentState, ...] = ("memorized", "waiting", "forgetting")


@pytest.fixture
def log(ledger: Ledger) -> TenantLog:
    return ledger.create_tenant("anna", "f1")


def keys(log: TenantLog, **filters: object) -> list[str]:
    """Of all pages of two."""
    found, cursor = [], None
    while True:
        page = log.page(2, cursor, **filters)  # type: ignore[arg-type]
        found += [document.key for document in page.documents]
        cursor = page.next_cursor
        if cursor is None:
            return found


class TestPages:
    @pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5])
    def test_every_document_is_on_one_of_them(self, log: TenantLog, count: int) -> None:
        put_all = [put(log, key).key for key in "abcde"[:count]]
        assert keys(log) == put_all

    def test_the_last_page_has_no_next(self, log: TenantLog) -> None:
        put(log, "a")
        put(log, "b")
        assert log.page(2).next_cursor is None
        assert log.page(1).next_cursor is not None

    def test_a_page_goes_on_where_a_document_went_away(self, log: TenantLog, clock: Clock) -> None:
        for key in "abcdef":
            clock.now += 0.000001
            put(log, key)
        lease = log.heads.claim("w", 10)
        memorize(log, lease, [12])
        cursor = log.page(3).next_cursor
        log.heads.swap(lease, build_without(log, lease, ["a", "b", "c"]).id)
        assert [d.key for d in log.page(3, cursor).documents] == ["d", "e", "f"]

    def test_a_new_document_comes_last(self, log: TenantLog) -> None:
        for key in "abc":
            put(log, key)
        cursor = log.page(2).next_cursor
        put(log, "d")
        assert [d.key for d in log.page(2, cursor).documents] == ["c", "d"]

    @pytest.mark.parametrize(
        "cursor", ["", "x", "0" * 32, f"{'0' * 32}-", f"{'0' * 32}-{'f' * 15}"]
    )
    def test_what_is_no_cursor_is_said(self, log: TenantLog, cursor: str) -> None:
        with pytest.raises(InvalidInputError, match="the cursor"):
            log.page(2, cursor)

    def test_another_tenants_cursor_tells_nothing(self, ledger: Ledger, log: TenantLog) -> None:
        for key in "abc":
            put(log, key)
        other = ledger.create_tenant("bela", "f1")
        assert other.page(2, log.page(1).next_cursor).documents == ()


class TestFilters:
    def test_by_state(self, log: TenantLog) -> None:
        for key in "abcdef":
            put(log, key)
        memorize(log, log.heads.claim("w", 10), [5])
        for key in "ae":
            log.forgets.request(key)
        assert {state: keys(log, state=state) for state in STATES} == {
            "memorized": ["b"],
            "waiting": ["c", "d", "f"],
            "forgetting": ["a", "e"],
        }

    @pytest.mark.parametrize("step", range(7))
    def test_each_is_in_the_state_that_it_says(self, log: TenantLog, step: int) -> None:
        for key in "abc":
            put(log, key)
        if step:
            memorize(log, log.heads.claim("w", 10), [step])
        put(log, "b", version="2")
        by_state = {state: log.page(9, state=state).documents for state in STATES}
        assert all(d.state == state for state, found in by_state.items() for d in found)
        everything = sorted(d.id for found in by_state.values() for d in found)
        assert everything == sorted(d.id for d in log.documents())

    def test_by_a_part_of_the_title_or_id(self, log: TenantLog) -> None:
        for key, title in (("a/Bird.txt", "One"), ("b", "Birds of 100%"), ("c", "Fish_")):
            log.append(ParsedDocument(title, "text"), key, [Span(0, 4, 1)], key)
        found = {q: keys(log, q=q) for q in ("bird", "100%", "%", "_", "h_", "x", "", "\0")}
        assert found == {
            "bird": ["a/Bird.txt", "b"],
            "100%": ["b"],
            "%": ["b"],
            "_": ["c"],
            "h_": ["c"],
            "x": ["a/Bird.txt"],
            "": ["a/Bird.txt", "b", "c"],
            "\0": [],
        }

    def test_both_at_once(self, log: TenantLog) -> None:
        for key in ("x1", "y", "x2"):
            put(log, key)
        memorize(log, log.heads.claim("w", 10), [4])
        assert keys(log, state="memorized", q="x") == ["x1"]


class TestPassages:
    def test_they_are_the_document_as_it_is_memorized(self, log: TenantLog) -> None:
        put(log, "before", 3)
        sections = (Section("One", 1, 0), Section("Two", 1, 4))
        spans = [Span(0, 3, 1), Span(4, 7, 1), Span(8, 9, 1)]
        log.append(ParsedDocument("T", "abc def g", sections=sections), "t.md", spans, "t")
        found = log.passages("t")
        assert [(p.step, p.start, p.end, p.section, p.text) for p in found] == [
            (3, 0, 3, "One", "abc"),
            (4, 4, 7, "Two", "def"),
            (5, 8, 9, "Two", "g"),
        ]
        assert found == [log.passage(step) for step in (3, 4, 5)]
        assert log.passages("t", from_step=4, limit=1) == found[1:2]

    def test_a_forgotten_one_shows_no_text(self, log: TenantLog) -> None:
        put(log, "a")
        log.forgets.request("a")
        assert log.passages("a") == []

    def test_the_newest_version_is_shown(self, log: TenantLog) -> None:
        put(log, "a")
        put(log, "a", version="2")
        assert [p.text for p in log.passages("a")] == ["a2.0", "a2.1"]

    def test_an_unknown_one_is_said(self, ledger: Ledger, log: TenantLog) -> None:
        put(ledger.create_tenant("bela", "f1"), "a")
        with pytest.raises(DocumentNotFoundError):
            log.passages("a")
