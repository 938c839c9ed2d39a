"""What is said of a chunk before its text, and that a memory made with it is as any other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mplus_ray.model import MPlus
from mplus_ray.model.config import ModelConfig
from mplus_ray.model.errors import CheckpointError
from mplus_ray.model.memory.digest import digest
from mplus_ray.pipeline.archive.exporter import export_tenant
from mplus_ray.pipeline.archive.format import Archive
from mplus_ray.pipeline.archive.importer import import_tenant
from mplus_ray.pipeline.chunking.chunker import chunk_document
from mplus_ray.pipeline.chunking.headers import Headings, with_header
from mplus_ray.pipeline.ingest.ingestor import DocumentChunker
from mplus_ray.pipeline.ledger.tenant_log import TenantLog
from mplus_ray.pipeline.maintenance.audit import check_log
from mplus_ray.pipeline.maintenance.rebuild import upgrade
from mplus_ray.pipeline.parsing.document import ParsedDocument, Section
from mplus_ray.pipeline.sources import Incoming
from mplus_ray.pipeline.workers.catch_up import catch_up
from tests.checkpoints import write_checkpoint
from tests.unit.fakes import FakeTokenizer
from tests.worlds import World, load_model, opened, without_flushing

TEXT = "Owls\n\nThey hunt at night and sleep by day.\n\nBats\n\nThey hang from beams and sing."
BATS = TEXT.index("Bats")
SECTIONS = (Section("Owls", 1, 0), Section("Bats", 1, BATS))


class Saying(FakeTokenizer):
    """Takes headers of up to `header_tokens` in chunks of `chunk_tokens`."""

    def __init__(self, chunk_tokens: int, header_tokens: int) -> None:
        super().__init__(chunk_tokens)
        self.header_tokens = header_tokens


def headings(title: str = "Night animals") -> Headings:
    return Headings.of(ParsedDocument(title, TEXT, SECTIONS))


class TestHeadings:
    def test_a_chunk_stands_under_its_title_and_section(self) -> None:
        assert headings().at(TEXT, TEXT.index("hang")) == ("Night animals", "Bats")
        assert headings().at(TEXT, TEXT.index("hunt")) == ("Night animals", "Owls")

    def test_what_a_chunk_says_itself_is_not_said_again(self) -> None:
        assert headings().at(TEXT, BATS) == ("Night animals",)
        assert headings("Owls").at(TEXT, 0) == ()
        assert headings("Bats").at(TEXT, TEXT.index("hang")) == ("Bats",)
        assert headings("").at(TEXT, TEXT.index("hang")) == ("Bats",)


class TestTokens:
    def test_a_checkpoint_without_headers_reads_the_text_alone(self) -> None:
        plain = FakeTokenizer()
        assert with_header(plain, ("Night animals", "Bats"), "They sing.") == plain.encode(
            "They sing."
        )

    def test_the_header_is_lines_before_the_text(self) -> None:
        tokenizer = Saying(64, 16)
        ids = with_header(tokenizer, ("Owls", "Food"), "Mice.")
        assert ids == [
            *tokenizer.encode("Owls\n"),
            *tokenizer.encode("Food\n"),
            *tokenizer.encode("Mice."),
        ]

    def test_each_heading_has_its_share_and_ends_its_line(self) -> None:
        tokenizer = Saying(64, 8)
        title, section = "a b c d e f g h", "i j k l m n o p"
        ids = with_header(tokenizer, (title, section), "x")
        newline = tokenizer.encode("\n")
        assert len(ids) == 8 + 1
        assert ids[:4] == [*tokenizer.encode(title)[:3], *newline]
        assert ids[4:8] == [*tokenizer.encode(section)[:3], *newline]

    def test_a_chunk_is_never_too_long(self) -> None:
        tokenizer = Saying(8, 2)
        for words in range(1, 9):
            ids = with_header(tokenizer, ("title", "section"), " ".join("x" * words))
            assert len(ids) <= 8

    @pytest.mark.parametrize("header", [0, 2, 4, 8])
    def test_cutting_leaves_room_for_it(self, header: int) -> None:
        tokenizer = Saying(32, header)
        text = " ".join(f"word{n}" for n in range(200))
        about = Headings("A title of words", [{"title": "Part two", "start": 300, "level": 1}])
        spans = chunk_document(text, about, tokenizer)
        for span in spans:
            heading = about.at(text, span.start)
            ids = with_header(tokenizer, heading, text[span.start : span.end])
            assert span.tokens < len(ids) <= 32 if header > 1 else len(ids) == span.tokens
        assert "".join(text[s.start : s.end] for s in spans).replace(" ", "") == text.replace(
            " ", ""
        )

    def test_a_document_without_a_name_keeps_whole_chunks(self) -> None:
        tokenizer = Saying(32, 8)
        text = " ".join("x" * 100)
        plain = chunk_document(text, Headings(""), Saying(32, 0))
        assert chunk_document(text, Headings(""), tokenizer) == plain


class TestConfig:
    def test_a_header_takes_a_quarter_of_a_chunk_at_most(self, tmp_path: Path) -> None:
        write_checkpoint(tmp_path / "c", header_tokens=4, chunk_tokens=16)
        assert ModelConfig.load(tmp_path / "c").header_tokens == 4
        with pytest.raises(CheckpointError, match="quarter"):
            write_checkpoint(tmp_path / "d", header_tokens=5, chunk_tokens=16)

    def test_it_is_part_of_what_a_memory_belongs_to(self, tmp_path: Path) -> None:
        plain = load_model(tmp_path / "plain")
        assert "header_tokens" not in plain.config.identity()
        told = told_model(tmp_path / "told")
        assert told.fingerprint != plain.fingerprint
        assert (told.tokenizer.chunk_tokens, told.tokenizer.header_tokens) == (16, 4)


def told_model(folder: Path) -> MPlus:
    if not folder.exists():
        write_checkpoint(folder, num_hidden_layers=2, retrieval="blocks", header_tokens=4)
    return MPlus.load(folder, device="cpu")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    without_flushing(monkeypatch.setattr)
    model = told_model(tmp_path / "checkpoint")
    with opened(model, f"sqlite:///{tmp_path / 'ledger.db'}", tmp_path / "rows") as made:
        yield made


def put(world: World, log: TenantLog, title: str = "Night animals", key: str = "a") -> None:
    desk = DocumentChunker(log, world.model.tokenizer)
    document = ParsedDocument(title, TEXT, SECTIONS)
    desk.accept(document, Incoming(key, lambda: document))


class TestMemory:
    def test_the_title_is_in_the_memory_and_the_citation_is_the_text(self, world: World) -> None:
        one, other = world.tenant("one"), world.tenant("other")
        put(world, one, "Night animals")
        put(world, other, "Birds of prey")
        catch_up(world.engine, [one, other])
        assert world.digest(one) != world.digest(other)
        for log in (one, other):
            assert world.digest(log) == digest(world.chain(log)[-1])
            for step in range(log.length()):
                passage = log.passage(step)
                assert TEXT[passage.start : passage.end] == passage.text

    def test_forgetting_leaves_what_never_knew_it(self, world: World) -> None:
        log, pure = world.tenant("anna"), world.tenant("pure")
        put(world, log, "Bye", "bye")
        put(world, log)
        put(world, pure)
        catch_up(world.engine, [log, pure])
        log.forgets.request("bye")
        catch_up(world.engine, [log])
        assert world.digest(log) == world.digest(pure)
        assert check_log(world.engine, log, world.reader) == []

    def test_it_travels(self, world: World, tmp_path: Path) -> None:
        log = world.tenant("anna")
        put(world, log)
        catch_up(world.engine, [log])
        export_tenant(world.engine, log, tmp_path / "a.tar", with_memory=True)
        with Archive(tmp_path / "a.tar") as archive:
            there = import_tenant(world.engine, archive, "b", world.model)
            cold = import_tenant(world.engine, archive, "c")
        catch_up(world.engine, [cold])
        assert world.digest(log) == world.digest(there) == world.digest(cold)

    def test_a_memory_without_headers_moves_to_one_with_them(
        self, world: World, tmp_path: Path
    ) -> None:
        plain = load_model(tmp_path / "plain")
        with opened(plain, world.url, world.folder) as before:
            log = before.tenant("anna")
            put(before, log)
            catch_up(before.engine, [log])
        fresh = world.tenant("fresh")
        put(world, fresh)
        catch_up(world.engine, [fresh])
        moved = world.ledger.tenant("anna")
        upgrade(world.engine, moved, 1)
        assert world.digest(world.ledger.tenant("anna")) == world.digest(fresh)
