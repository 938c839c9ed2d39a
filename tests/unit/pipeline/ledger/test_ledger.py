"""The log: durable, ordered, idempotent, and never one tenant's in another one's hands."""

from __future__ import annotations

import pytest

from mplus_ray.model.errors import (
    BusyError,
    DocumentNotFoundError,
    FingerprintMismatchError,
    InvalidInputError,
    QuotaError,
    StorageError,
    TenantNotFoundError,
)
from mplus_ray.pipeline.chunking.chunker import Span
from mplus_ray.pipeline.ledger.ledger import Ledger
from mplus_ray.pipeline.ledger.tenant import default_seed
from mplus_ray.pipeline.parsing.document import ParsedDocument, Section
from tests.logs import Clock, memorize, put

pytest_plugins = ["tests.postgres"]

SPANS = [Span(0, 3, 2), Span(4, 7, 3)]


def document(text: str = "abc def", title: str = "T", **more: object) -> ParsedDocument:
    return ParsedDocument(title, text, **more)  # type: ignore[arg-type]


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

    def test_its_model_says_how_rows_are_stored_unless_asked_otherwise(
        self, ledger: Ledger
    ) -> None:
        geometry = {"row_precision": "int8"}
        assert ledger.create_tenant("anna", "f1", geometry=geometry).tenant.precision == "int8"
        asked = ledger.create_tenant("bela", "f1", geometry=geometry, precision="float16")
        assert asked.tenant.precision == "float16"
        assert ledger.create_tenant("cora", "f1").tenant.precision == "bfloat16"

    def test_an_unknown_one_is_named(self, ledger: Ledger) -> None:
        with pytest.raises(TenantNotFoundError, match="no tenant 'anna'"):
            ledger.tenant("anna")

    @pytest.mark.parametrize("setting", [{"precision": "int8"}, {"retention": "unbounded"}])
    def test_another_setting_for_life_is_refused(
        self, ledger: Ledger, setting: dict[str, str]
    ) -> None:
        ledger.create_tenant("anna", "f1")
        with pytest.raises(InvalidInputError, match="is for life"):
            ledger.create_tenant("anna", "f1", **setting)  # type: ignore[arg-type]
        made = ledger.create_tenant("bela", "f1", **setting)  # type: ignore[arg-type]
        assert ledger.create_tenant("bela", "f1").tenant == made.tenant

    @pytest.mark.parametrize(
        "setting", [{"precision": "int4"}, {"retention": "some"}, {"max_bytes": -1}]
    )
    def test_impossible_settings_are_refused(
        self, ledger: Ledger, setting: dict[str, object]
    ) -> None:
        with pytest.raises(InvalidInputError):
            ledger.create_tenant("anna", "f1", **setting)  # type: ignore[arg-type]
        assert ledger.tenants() == []

    def test_settings_are_kept(self, ledger: Ledger) -> None:
        settings = {"max_documents": 3, "max_bytes": 2**40, "cold_after": 1.5, "bytes_per_step": 7}
        made = ledger.create_tenant("anna", "f1", geometry={"L": 8}, **settings)  # type: ignore[arg-type]
        read = ledger.tenant("anna").tenant
        assert read == made.tenant
        assert {name: getattr(read, name) for name in settings} == settings
        assert read.geometry == {"L": 8}

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
        log = ledger.tenant("anna")
        memorize(log, log.heads.claim("w", 10), [1])
        listed = [
            (s.tenant.name, s.documents, s.chunks, s.tokens, s.step, s.nbytes)
            for s in ledger.tenants()
        ]
        assert listed == [("anna", 1, 2, 5, 1, 100), ("bela", 0, 0, 0, 0, 0)]


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

    def test_another_source_is_another_document(self, ledger: Ledger) -> None:
        log = ledger.create_tenant("anna", "f1")
        log.append(document(), "a.txt", SPANS)
        assert log.append(document(), "b.txt", SPANS).new

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

    def test_everything_is_there_after_reopening(self, ledger_url: str, ledger: Ledger) -> None:
        ledger.create_tenant("anna", "f1").append(document(), "a.txt", SPANS)
        ledger.close()
        reopened = Ledger(ledger_url)
        assert [c.text for c in reopened.tenant("anna").chunks(0)] == ["abc", "def"]
        reopened.close()

    def test_without_chunks_it_is_no_document(self, ledger: Ledger) -> None:
        with pytest.raises(InvalidInputError, match=r"a\.txt has no text"):
            ledger.create_tenant("anna", "f1").append(document(""), "a.txt", [])

    def test_names_that_no_database_takes_are_made_storable(self, ledger: Ledger) -> None:
        log = ledger.create_tenant("anna", "f1")
        source = "a\udcff\0" + "x" * 5000
        accepted = log.append(document(title="T\0\udc80"), source, SPANS)
        assert log.document(accepted.key).title == "T\ufffd\ufffd"
        assert not log.append(document(), source, SPANS).new
        assert log.append(document(), source + "y", SPANS).new


class TestKeys:
    def test_without_one_the_source_is_it(self, ledger: Ledger) -> None:
        log = ledger.create_tenant("anna", "f1")
        assert log.append(document(), "a.txt", SPANS).key == "a.txt"
        assert log.text("a.txt") == "abc def"

    def test_the_same_content_under_the_same_key_is_found(self, ledger: Ledger) -> None:
        log = ledger.create_tenant("anna", "f1")
        first = log.append(document(), "a.txt", SPANS, key="k")
        again = log.append(document(), "b.txt", SPANS, key="k")
        assert (again.document, again.new, again.replaced) == (first.document, False, None)

    def test_other_content_takes_the_place_of_the_old(self, ledger: Ledger) -> None:
        log = ledger.create_tenant("anna", "f1")
        old = log.append(document("abc def"), "a.txt", SPANS)
        new = log.append(document("ABC DEF"), "a.txt", SPANS)
        assert (new.new, new.first_step, log.text("a.txt")) == (True, 2, "ABC DEF")
        assert [(d.id, d.state) for d in log.documents()] == [
            (old.document, "forgetting"),
            (new.document, "waiting"),
        ]
        assert log.heads.serving().masks == ((0, 2),)
        assert [f.receipt.id for f in log.forgets.pending()] == [new.replaced]
        assert log.forgets.get(str(new.replaced)).document == old.document

    def test_the_old_content_may_come_back(self, ledger: Ledger) -> None:
        log = ledger.create_tenant("anna", "f1")
        log.append(document("abc def"), "a.txt", SPANS)
        log.append(document("ABC DEF"), "a.txt", SPANS)
        back = log.append(document("abc def"), "a.txt", SPANS)
        assert back.new
        assert log.text("a.txt") == "abc def"
        assert log.heads.serving().masks == ((0, 2), (2, 4))

    @pytest.mark.parametrize("key", ["", " ", "a\nb", "x" * 1001])
    def test_impossible_ones_are_refused(self, ledger: Ledger, key: str) -> None:
        log = ledger.create_tenant("anna", "f1")
        with pytest.raises(InvalidInputError, match="cannot be a document's id"):
            log.append(document(), "a.txt", SPANS, key=key)


class TestQuotas:
    def test_documents(self, ledger: Ledger) -> None:
        log = ledger.create_tenant("anna", "f1", max_documents=2)
        put(log, "a")
        put(log, "b")
        with pytest.raises(QuotaError, match=r"may have 2 documents.*would have 3.*--max-doc"):
            put(log, "c")
        assert log.length() == 4
        assert put(log, "b", version="new").new, "a replacement does not count twice"
        log.forgets.request("a")
        assert put(log, "c").new, "what is being forgotten does not count"

    def test_bytes(self, ledger: Ledger) -> None:
        log = ledger.create_tenant("anna", "f1", max_bytes=399, bytes_per_step=100)
        put(log, "a", 3)
        with pytest.raises(QuotaError, match="would have 400"):
            put(log, "b", 1)
        log.set_limits(max_documents=None, max_bytes=400, cold_after=None)
        assert put(log, "b", 1).new

    def test_what_is_there_is_found_whatever_the_quota(self, ledger: Ledger) -> None:
        log = ledger.create_tenant("anna", "f1", max_documents=1)
        put(log, "a")
        assert not put(log, "a").new


class TestDocuments:
    def test_state_follows_the_serving_head(self, ledger: Ledger, clock: Clock) -> None:
        log = ledger.create_tenant("anna", "f1")
        put(log, "a")
        put(log, "b")
        lease = log.heads.claim("w", 10)
        clock.now = 2000
        memorize(log, lease, [3])
        first, second = log.documents()
        assert (first.state, first.memorized, first.first_step, first.end) == (
            "memorized", 2000, 0, 2,
        )  # fmt: skip
        assert (second.state, second.memorized) == ("waiting", None)
        clock.now = 3000
        memorize(log, lease, [4])
        assert [d.memorized for d in log.documents()] == [2000, 3000]
        assert [log.step_at(t) for t in (1999, 2000, 2999, 3000)] == [0, 2, 2, 4]

    def test_pages(self, ledger: Ledger) -> None:
        log = ledger.create_tenant("anna", "f1")
        for key in "abcde":
            put(log, key)
        page = log.documents(limit=2)
        assert [d.key for d in page] == ["a", "b"]
        assert [d.key for d in log.documents(limit=2, after=page[-1].id)] == ["c", "d"]
        with pytest.raises(InvalidInputError, match="list from the start"):
            log.documents(after="gone")

    def test_a_document_without_its_text(self, ledger: Ledger) -> None:
        log = ledger.create_tenant("anna", "f1")
        sections = (Section("One", 1, 0),)
        log.append(document(sections=sections, metadata={"pages": 3}), "a.txt", SPANS)
        found = log.document("a.txt")
        assert (found.title, found.tokens, found.metadata) == ("T", 5, {"pages": 3})
        with pytest.raises(DocumentNotFoundError, match=r"no document 'b\.txt'"):
            log.document("b.txt")

    def test_a_forgotten_one_has_no_text_any_more(self, ledger: Ledger) -> None:
        log = ledger.create_tenant("anna", "f1")
        put(log, "a")
        log.forgets.request("a")
        assert log.document("a").state == "forgetting"
        with pytest.raises(DocumentNotFoundError):
            log.text("a")

    def test_failures_are_kept_and_cleared(self, ledger: Ledger, clock: Clock) -> None:
        log = ledger.create_tenant("anna", "f1")
        log.failures.add("a.pdf", "no text")
        clock.now += 1
        log.failures.add("a.pdf", "encrypted")
        log.failures.add("b.pdf", "torn")
        found = [(f.source, f.reason, f.created) for f in log.failures.list()]
        assert found == [("a.pdf", "encrypted", 1001), ("b.pdf", "torn", 1001)]
        log.failures.clear("a.pdf")
        assert [f.source for f in log.failures.list()] == ["b.pdf"]


class TestDeletion:
    def test_a_tenant_goes_in_two_stages(self, ledger: Ledger) -> None:
        log = ledger.create_tenant("anna", "f1")
        put(log, "a")
        lease = log.heads.claim("w", 10)
        memorize(log, lease, [2])
        put(log, "a", version="2")
        log.snapshots.take("s")
        log.failures.add("x", "y")
        files = log.heads.files()
        marked = ledger.delete_tenant("anna")
        for use in (lambda: ledger.tenant("anna"), lambda: memorize(log, lease, [4])):
            with pytest.raises(TenantNotFoundError):
                use()
        with pytest.raises(BusyError, match="is being deleted"):
            ledger.create_tenant("anna", "f1")
        assert (ledger.tenants(), ledger.marked.list()) == ([], [marked])
        assert ledger.referenced_files(files) == files
        ledger.marked.remove(marked.id)
        ledger.marked.remove(marked.id)
        assert (ledger.marked.list(), ledger.referenced_files(files)) == ([], set())
        assert ledger.create_tenant("anna", "f2").length() == 0

    def test_one_in_use_is_not_removed(self, ledger: Ledger) -> None:
        log = ledger.create_tenant("anna", "f1")
        with pytest.raises(InvalidInputError, match="in use"):
            ledger.marked.remove(log.tenant.id)


class TestIdle:
    def test_only_those_that_may_get_cold(self, ledger: Ledger, clock: Clock) -> None:
        ledger.create_tenant("anna", "f1", cold_after=60)
        ledger.create_tenant("bela", "f1")
        assert ledger.idle_tenants() == []
        clock.now += 60
        assert [log.tenant.name for log in ledger.idle_tenants()] == ["anna"]
        ledger.tenant("anna").touch()
        assert ledger.idle_tenants() == []


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

    def test_several_are_those_of_their_steps_whatever_their_characters(
        self, ledger: Ledger
    ) -> None:
        log = ledger.create_tenant("anna", "f1")
        texts = ["🦜é\r\n def", "日本語 e\u0301🦜"]
        for number, text in enumerate(texts):
            log.append(document(text, f"T{number}"), f"{number}.txt", SPANS)
        found = log.passages_at([3, 0, 2, 0])
        expected = [(texts[step // 2], SPANS[step % 2]) for step in (3, 0, 2, 0)]
        assert [each.text for each in found] == [t[s.start : s.end] for t, s in expected]
        assert [each.step for each in found] == [3, 0, 2, 0]
        assert [each.title for each in found] == ["T1", "T0", "T1", "T0"]
        assert log.passages_at([]) == []

    def test_a_replaced_head_is_not_asked_for_steps(self, ledger: Ledger) -> None:
        log = ledger.create_tenant("anna", "f1")
        log.append(document(), "a.txt", SPANS)
        (passage,) = log.passages_at([0], head=log.heads.serving().head.id)
        assert passage.text == "abc"
        with pytest.raises(StorageError, match="replaced meanwhile"):
            log.passages_at([0], head="another")
