"""The command line as a person and a program use it."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mplus_ray.model import MPlus
from mplus_ray.model.generation.confidence import FILE, Confidence
from mplus_ray.pipeline.reading.abstention import REFUSAL
from tests.integration.tiny import make_tiny_checkpoint
from tests.integration.warm import WarmCommand, warm_command
from tests.unit.pipeline.parsing.test_parse import pdf

BIRDS = "The raven is black.\n\nThe owl is brown.\n\nThe swan is white."


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_checkpoint(tmp_path_factory.mktemp("checkpoints") / "tiny")


@pytest.fixture(scope="module")
def warm(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarmCommand]:
    with warm_command(tmp_path_factory.mktemp("nothing") / "data", checkpoint) as mplus:
        yield mplus


@pytest.fixture
def mplus(tmp_path: Path, warm: WarmCommand) -> WarmCommand:
    return warm.at(tmp_path / "data")


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_documents_in_every_format_are_cited(mplus: WarmCommand, tmp_path: Path) -> None:
    folder = tmp_path / "documents"
    folder.mkdir()
    write(folder / "a.txt", "The raven is black.")
    write(folder / "b.md", "# Owls\n\nThe owl is brown.")
    write(folder / "c.html", "<title>Swans</title><p>The swan is <b>white</b>.")
    (folder / "d.pdf").write_bytes(pdf("The finch is green.", title="Finches"))

    ingested = mplus("ingest", "--tenant", "anna", folder, "--json", "-")
    assert ingested.code == 0, ingested.err
    result = ingested.json
    assert (result["documents"], result["chunks"], result["failed"]) == (4, 4, [])
    assert result["tokens"] > 10
    assert result["seconds"] > 0

    asked = mplus("ask", "--tenant", "anna", "--json", "-", "Where is the raven?")
    assert asked.code == 0, asked.err
    answer = asked.json
    assert set(answer) >= {"answer", "citations", "usage"}
    assert answer["usage"]["memory_rows"] > 0
    assert answer["waiting"] == 0
    cited = {citation["title"]: citation for citation in answer["citations"]}
    assert set(cited) == {"a", "Owls", "Swans", "Finches"}
    assert cited["Swans"]["text"] == "The swan is white."
    assert cited["Owls"]["section"] == "Owls"
    for citation in answer["citations"]:
        assert citation["end"] - citation["start"] == len(citation["text"])
        assert isinstance(citation["score"], float)


def test_memory_is_kept_between_runs_and_a_document_is_taken_once(
    mplus: WarmCommand, tmp_path: Path
) -> None:
    birds = write(tmp_path / "birds.txt", BIRDS)
    first = mplus("ingest", "--tenant", "anna", birds, "--json", "-").json
    memory = mplus.memory()
    again = mplus("ingest", "--tenant", "anna", birds, "--json", "-").json
    assert (first["documents"], first["known"]) == (1, 0)
    assert (again["documents"], again["known"], again["chunks"]) == (0, 1, 0)
    assert mplus.memory() == memory
    more = write(tmp_path / "more.txt", "The finch is green.")
    assert mplus("ingest", "--tenant", "anna", more, "--json", "-").json["chunks"] == 1


def test_the_same_documents_give_the_same_memory_anywhere(
    tmp_path: Path, warm: WarmCommand
) -> None:
    birds = write(tmp_path / "birds.txt", BIRDS)
    memories = []
    for name in ("here", "there"):
        mplus = warm.at(tmp_path / name)
        assert mplus("ingest", "--tenant", "anna", birds).code == 0
        memories.append(mplus.memory())
    assert set(memories[0]) == {"anna"}
    assert memories[0] == memories[1]


def test_tenants_see_only_their_own(mplus: WarmCommand, tmp_path: Path) -> None:
    mplus("ingest", "-t", "anna", write(tmp_path / "a.txt", "The raven is black."))
    mplus("ingest", "-t", "bela", write(tmp_path / "b.txt", "The owl is brown."))
    for tenant, own in (("anna", "The raven is black."), ("bela", "The owl is brown.")):
        citations = mplus("ask", "-t", tenant, "Which bird?", "--json", "-").json["citations"]
        assert [citation["text"] for citation in citations] == [own]
    listed = mplus("tenants", "list", "--json", "-").json["tenants"]
    assert [(t["tenant"], t["documents"], t["chunks"]) for t in listed] == [
        ("anna", 1, 1),
        ("bela", 1, 1),
    ]


def test_a_person_reads_answer_and_passages(mplus: WarmCommand, tmp_path: Path) -> None:
    mplus("ingest", "-t", "anna", write(tmp_path / "birds.txt", "The raven \x1b[31mis black."))
    out = mplus("ask", "-t", "anna", "Which bird?").out
    assert "[1] birds" in out
    assert "The raven" in out
    assert "\x1b" not in out


def test_json_goes_to_a_file_too(mplus: WarmCommand, tmp_path: Path) -> None:
    birds = write(tmp_path / "birds.txt", BIRDS)
    done = mplus("ingest", "-t", "anna", birds, "--json", tmp_path / "result.json")
    assert json.loads((tmp_path / "result.json").read_text())["documents"] == 1
    assert "1 documents" in done.out


def test_a_search_finds_what_an_answer_cites(mplus: WarmCommand, tmp_path: Path) -> None:
    mplus("ingest", "-t", "anna", write(tmp_path / "birds.md", "# Owls\n\nThe owl is brown."))
    found = mplus("search", "-t", "anna", "Which owls are brown?", "--json", "-")
    assert found.code == 0, found.err
    (hit,) = found.json["results"]
    (cited,) = mplus("ask", "-t", "anna", "Which owls are brown?", "--json", "-").json["citations"]
    score, relevance = cited.pop("score"), cited.pop("relevance")
    assert {name: hit[name] for name in cited} == cited
    assert (isinstance(score, float), relevance) == (True, hit["score"])
    assert (hit["step"], hit["section"], hit["score"]) == (1, "Owls", None)
    assert hit["why"]["words"] == ["owls", "brown"]
    assert (found.json["votes"], found.json["step"], found.json["waiting"]) == ("layers", 1, 0)
    shown = mplus("search", "-t", "anna", "Which owls are brown?")
    assert "The owl is brown." in shown.out
    assert "owls, brown" in shown.out
    assert mplus("search", "-t", "anna", "Owls", "--as-of", "0").out.strip() == "nothing found"
    for wrong in (["--limit", "0"], ["--limit", "101"], ["--min-score", "2"]):
        assert mplus("search", "-t", "anna", "Owls", *wrong).code == 2
    refused = mplus("search", "-t", "anna", "Owls", "--min-score", "0.5")
    assert (refused.code, "mplus eval relevance" in refused.err) == (2, True)


class TestConfidence:
    """The command line withholds what HTTP does, and says how sure it is."""

    @pytest.fixture
    def half_sure(self, mplus: WarmCommand, checkpoint: Path, tmp_path: Path) -> WarmCommand:
        """A checkpoint that is sure of every answer by one half, and trusts from 0.7 on."""
        folder = tmp_path / "half"
        shutil.copytree(checkpoint, folder)
        model = MPlus.load(folder, device="cpu")
        Confidence(("certainty",), (0.0,), 0.0, 0.7, model.fingerprint).save(folder / FILE)
        command = mplus.at(mplus.data, folder)
        assert command("ingest", "-t", "anna", write(tmp_path / "birds.txt", BIRDS)).code == 0
        return command

    def test_what_is_not_trusted_is_withheld(self, half_sure: WarmCommand) -> None:
        asked = half_sure("ask", "-t", "anna", "Which bird?", "--json", "-").json
        assert (asked["answer"], asked["abstained"]) == (REFUSAL, True)
        assert asked["confidence"] == 0.5
        assert asked["citations"]
        assert half_sure("ask", "-t", "anna", "Which bird?").out.startswith(REFUSAL)

    def test_a_question_has_a_threshold_of_its_own(self, half_sure: WarmCommand) -> None:
        question = ("ask", "-t", "anna", "Which bird?")
        for threshold, withheld in ((0, False), (0.5, False), (0.51, True)):
            asked = half_sure(*question, "--threshold", str(threshold), "--json", "-").json
            assert asked["abstained"] is withheld
            assert (asked["answer"] == REFUSAL) is withheld
        assert half_sure(*question, "--threshold", "2").code == 2

    def test_so_has_a_tenant(self, half_sure: WarmCommand) -> None:
        assert half_sure("tenants", "set", "anna", "--threshold", "0.4").code == 0
        assert not half_sure("ask", "-t", "anna", "Who?", "--json", "-").json["abstained"]
        asked = half_sure("ask", "-t", "anna", "Who?", "--threshold", "0.9", "--json", "-").json
        assert asked["abstained"], "the question's own comes first"


def test_what_was_never_told_is_not_known(mplus: WarmCommand, tmp_path: Path) -> None:
    """Also without a fitted confidence: an empty memory abstains."""
    mplus("ingest", "-t", "anna", write(tmp_path / "birds.txt", BIRDS))
    asked = mplus("ask", "-t", "anna", "Which bird?", "--as-of", "0", "--json", "-").json
    assert (asked["answer"], asked["abstained"], asked["confidence"]) == (REFUSAL, True, 0)
    now = mplus("ask", "-t", "anna", "Which bird?", "--json", "-").json
    assert (now["abstained"], now["confidence"]) == (False, None)


@pytest.mark.parametrize("command", ["ask", "search"])
@pytest.mark.parametrize("words", ["", "  ", "\n"])
def test_nothing_is_refused_before_anything_is_loaded(
    mplus: WarmCommand, tmp_path: Path, command: str, words: str
) -> None:
    """There is no checkpoint, no data directory and no tenant, and none is looked for."""
    nowhere = mplus.at(mplus.data, tmp_path / "none")
    done = nowhere(command, "-t", "nobody", words)
    assert (done.code, "is empty" in done.err) == (2, True)


def test_looking_makes_no_data_directory(mplus: WarmCommand) -> None:
    looked = mplus("tenants", "list", "--json", "-")
    assert looked.json == {"tenants": []}
    for command in (("tenants", "list"), ("status",), ("sweep",)):
        said = mplus(*command).err
        assert str(mplus.data) in said.replace("\n", "")
        assert "does not exist" in said
    mplus.data.mkdir()
    assert "holds no memory" in mplus("tenants", "list").err
    mplus.data.rmdir()
    assert mplus("ask", "-t", "anna", "Who?").code == 5
    assert not mplus.data.exists()


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("library") / "book.txt", BIRDS * 120)


@pytest.fixture(scope="module")
def undisturbed(book: Path, warm: WarmCommand) -> Any:
    """What is answered from a memory whose making nothing interrupted."""
    mplus = warm.at(book.with_name("data"))
    assert mplus("ingest", "-t", "anna", book).code == 0
    return _answer(mplus)


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_ingest_is_taken_up_exactly(
    mplus: WarmCommand, book: Path, undisturbed: Any, stop: signal.Signals
) -> None:
    process = mplus.start("ingest", "-t", "anna", book)
    while not _chunks(mplus.data / "ledger.db"):
        assert process.poll() is None, process.communicate()
    process.send_signal(stop)
    _, err = process.communicate(timeout=60)
    assert process.returncode == (130 if stop is signal.SIGINT else -stop), err

    asked = mplus("ask", "-t", "anna", "Which bird?", "--json", "-")
    if asked.code == 0:
        assert asked.json["waiting"] > 0
        assert "chunks are not memorized yet" in asked.err
    else:
        assert (asked.code, "none is memorized yet" in asked.err) == (6, True)

    resumed = mplus("ingest", "-t", "anna", "--json", "-")
    assert resumed.code == 0, resumed.err
    assert resumed.json["chunks"] > 0
    assert _answer(mplus) == undisturbed


def test_two_at_a_time_take_turns(mplus: WarmCommand, book: Path, tmp_path: Path) -> None:
    more = write(tmp_path / "more.txt", BIRDS)
    processes = [mplus.start("ingest", "-t", "anna", path) for path in (book, more)]
    for process in processes:
        _, err = process.communicate(timeout=100)
        assert process.returncode == 0, err
    (listed,) = mplus("tenants", "list", "--json", "-").json["tenants"]
    assert listed["documents"] == 2
    assert mplus("ask", "-t", "anna", "Which bird?", "--json", "-").json["waiting"] == 0


def _chunks(ledger: Path) -> int:
    """Chunks in a ledger that another process may be making."""
    if not ledger.exists():
        return 0
    connection = sqlite3.connect(ledger)
    try:
        return int(connection.execute("select count(*) from chunks").fetchone()[0])
    except sqlite3.OperationalError:
        return 0
    finally:
        connection.close()


def _answer(mplus: WarmCommand) -> Any:
    """An answer with all its numbers."""
    return mplus("ask", "-t", "anna", "Which bird?", "--json", "-").json


@pytest.mark.parametrize("mending", [("ask", "Which bird?"), ("verify",)], ids=["ask", "verify"])
def test_a_lost_memory_is_made_anew_from_the_log(
    mplus: WarmCommand, tmp_path: Path, mending: tuple[str, ...]
) -> None:
    command, *arguments = mending
    mplus("ingest", "-t", "anna", write(tmp_path / "birds.txt", BIRDS))
    memory = mplus.memory()
    shutil.rmtree(mplus.data / "rows")
    done = mplus(command, "-t", "anna", *arguments)
    assert done.code == (0 if command == "ask" else 1), done.err
    assert ("making it again" in done.err) is (command == "ask")
    assert ("made again" in done.out) is (command == "verify")
    assert mplus.memory() == memory
    assert mplus("verify", "-t", "anna").code == 0


def test_parity_fails_with_the_exit_code(mplus: WarmCommand, tmp_path: Path) -> None:
    done = mplus("parity", tmp_path)
    assert done.code == 3
    assert "has no config.json" in done.err
