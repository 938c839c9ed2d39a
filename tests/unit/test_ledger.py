"""The log: durable, ordered, idempotent, and never one tenant's in another one's hands."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from model.errors import (
    FingerprintMismatchError,
    InvalidInputError,
    StorageError,
    TenantNotFoundError,
)
from pipeline.chunk import Span
from pipeline.document import ParsedDocument, Section
from pipeline.ledger import Ledger, default_seed

SPANS = [Span(0, 3, 2), Span(4, 7, 3)]


def document(text: str = "abc def", title: str = "T", **more: object) -> ParsedDocument:
    return ParsedDocument(title, text, **more)  # type: ignore[arg-type]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    ledger = Ledger(f"sqlite:///{path}", clock=lambda: 1000.0)
    yield ledger
    ledger.close()


class TestTenants:
    def test_a_seed_is_a_hash_of_the_name(self, ledger: Ledger) -> None:
        log = ledger.create_tenant("anna", "f1")
        assert log.tenant.seed == default_seed("anna") != default_seed("bela")
        assert 0 <= log.tenant.seed < 2**63

    def test_creating_twice_finds_the_first(self, ledger: Ledger) -> None:
        first = ledger.create_tenant("anna", "f1", seed=7)
        assert ledger.create_tenant("anna", "f1").tenant == first.tenant
        assert ledger.tenant("anna").tenant == first.tenant

    def test_another_fingerprint_is_refused(self, ledger: Ledger) -> None:
        ledger.create_tenant("anna", "f1")
        with pytest.raises(FingerprintMismatchError, match="'anna' belongs to the checkpoint f1"):
            ledger.create_tenant("anna", "f2")

    def test_another_seed_is_refused(self, ledger: Ledger) -> None:
        ledger.create_tenant("anna", "f1", seed=7)
        with pytest.raises(InvalidInputError, match="exists with seed 7"):
            ledger.create_tenant("anna", "f1", seed=8)

    def test_an_unknown_one_is_named(self, ledger: Ledger) -> None:
        with pytest.raises(TenantNotFoundError, match="no tenant 'anna'"):
            ledger.tenant("anna")

    @pytest.mark.parametrize("name", ["", "  ", "x" * 201, "a\nb", "a\0"])
    def test_impossible_names_are_refused(self, ledger: Ledger, name: str) -> None:
        with pytest.raises(InvalidInputError, match="cannot name a tenant"):
            ledger.create_tenant(name, "f1")
        assert ledger.tenants() == []

    def test_an_impossible_seed_is_refused(self, ledger: Ledger) -> None:
        with pytest.raises(InvalidInputError, match="seed -1"):
            ledger.create_tenant("anna", "f1", seed=-1)

    def test_the_list_counts_each_tenants_own(self, ledger: Ledger) -> None:
        ledger.create_tenant("bela", "f1")
        ledger.create_tenant("anna", "f1").append(document(), "a.txt", SPANS)
        listed = [(s.tenant.name, s.documents, s.chunks, s.tokens) for s in ledger.tenants()]
        assert listed == [("anna", 1, 2, 5), ("bela", 0, 0, 0)]


class TestAppend:
    def test_steps_follow_each_other(self, ledger: Ledger) -> None:
        log = ledger.create_tenant("anna", "f1")
        assert log.append(document("abc def"), "a.txt", SPANS).first_step == 0
        assert log.append(document("ABC DEF"), "b.txt", SPANS).first_step == 2
        assert [(c.step, c.text) for c in log.chunks(from_step=0)] == [
            (0, "abc"),
            (1, "def"),
            (2, "ABC"),
            (3, "DEF"),
        ]
        assert log.length() == 4
        assert log.tokens() == 10
        assert log.tokens(from_step=3) == 3

    def test_the_same_content_of_the_same_source_is_the_same_document(self, ledger: Ledger) -> None:
        log = ledger.create_tenant("anna", "f1")
        first = log.append(document(), "a.txt", SPANS)
        again = log.append(document(), "a.txt", SPANS)
        assert (again.document, again.new, first.new) == (first.document, False, True)
        assert log.length() == 2

    @pytest.mark.parametrize(("text", "source"), [("abc DEF", "a.txt"), ("abc def", "b.txt")])
    def test_other_content_or_source_is_another_document(
        self, ledger: Ledger, text: str, source: str
    ) -> None:
        log = ledger.create_tenant("anna", "f1")
        log.append(document(), "a.txt", SPANS)
        assert log.append(document(text), source, SPANS).new

    def test_tenants_count_and_keep_apart(self, ledger: Ledger) -> None:
        anna, bela = (ledger.create_tenant(name, "f1") for name in ("anna", "bela"))
        first = anna.append(document("abc def"), "a.txt", SPANS)
        second = bela.append(document("abc def"), "a.txt", SPANS)
        assert second.new
        assert second.document != first.document
        assert bela.length() == 2
        assert bela.passage(0).document == second.document

    def test_reading_goes_on_from_any_step(self, ledger: Ledger) -> None:
        log = ledger.create_tenant("anna", "f1")
        log.append(document("abc def"), "a.txt", SPANS)
        log.append(document("ABC DEF"), "b.txt", SPANS)
        assert [c.text for c in log.chunks(from_step=1)] == ["def", "ABC", "DEF"]
        assert [c.text for c in log.chunks(from_step=4)] == []

    def test_reading_sees_what_is_appended_meanwhile(self, ledger: Ledger) -> None:
        log = ledger.create_tenant("anna", "f1")
        log.append(document("abc def"), "a.txt", SPANS)
        reading = log.chunks(from_step=0)
        next(reading)
        log.append(document("ABC DEF"), "b.txt", SPANS)
        assert [c.text for c in reading] == ["def", "ABC", "DEF"]

    def test_everything_is_there_after_reopening(self, path: Path, ledger: Ledger) -> None:
        ledger.create_tenant("anna", "f1").append(document(), "a.txt", SPANS)
        ledger.close()
        reopened = Ledger(f"sqlite:///{path}")
        assert [c.text for c in reopened.tenant("anna").chunks(0)] == ["abc", "def"]
        reopened.close()

    def test_concurrent_appends_leave_no_gap(self, path: Path, ledger: Ledger) -> None:
        ledger.create_tenant("anna", "f1")

        def append(worker: int) -> None:
            own = Ledger(f"sqlite:///{path}")
            for number in range(5):
                own.tenant("anna").append(document(), f"{worker}-{number}", SPANS)
            own.close()

        workers = [threading.Thread(target=append, args=(i,)) for i in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert [c.step for c in ledger.tenant("anna").chunks(0)] == list(range(40))


class TestPassage:
    def test_it_has_the_exact_characters_and_their_section(self, ledger: Ledger) -> None:
        log = ledger.create_tenant("anna", "f1")
        sections = (Section("One", 1, 0), Section("Two", 1, 4), Section("Three", 1, 6))
        accepted = log.append(document("abc def", "Title", sections=sections), "a.md", SPANS)
        passage = log.passage(1)
        assert (passage.text, passage.start, passage.end) == ("def", 4, 7)
        assert (passage.title, passage.section, passage.source) == ("Title", "Two", "a.md")
        assert passage.document == accepted.document

    def test_a_step_outside_the_log_is_a_clear_error(self, ledger: Ledger) -> None:
        log = ledger.create_tenant("anna", "f1")
        log.append(document(), "a.txt", SPANS)
        with pytest.raises(StorageError, match="names step 2, which is not in the log"):
            log.passage(2)


class TestStorage:
    def test_what_is_acknowledged_is_on_the_disk(self, path: Path, ledger: Ledger) -> None:
        with ledger._database.reading() as connection:
            pragmas = [
                connection.exec_driver_sql(f"PRAGMA {name}").scalar()
                for name in ("journal_mode", "synchronous", "foreign_keys")
            ]
        assert pragmas == ["wal", 2, 1]

    def test_a_file_that_is_no_database_is_a_clear_error(self, path: Path) -> None:
        path.write_bytes(b"just text, and enough of it to be looked at" * 50)
        with pytest.raises(StorageError, match=r"ledger\.db failed: file is not a database"):
            Ledger(f"sqlite:///{path}")

    def test_a_full_disk_keeps_the_log_as_it_was(self, path: Path, ledger: Ledger) -> None:
        log = ledger.create_tenant("anna", "f1")
        log.append(document(), "a.txt", SPANS)
        with ledger._database.reading() as connection:
            # max_page_count makes SQLite itself say "database or disk is full".
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
            connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
        with pytest.raises(StorageError, match=r"disk is full.*nothing of the last transaction"):
            log.append(document("x" * 10**6), "b.txt", [Span(0, 10**6, 9)])
        assert log.length() == 2
        with sqlite3.connect(path) as plain:
            assert plain.execute("select count(*) from documents").fetchone() == (1,)
        plain.close()
