"""The commands on a memory as processes: what each does, and what it refuses."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from mplus_ray.pipeline.ledger.tenant import default_seed
from tests.integration.command import Outcome
from tests.integration.tiny import make_tiny_checkpoint
from tests.integration.warm import WarmCommand, warm_command

BIRDS = "The raven is black.\n\nThe owl is brown.\n\nThe swan is white.\n\n" * 4
SECRET = "Maren Tolva keeps the blue notebook under the third stair of the lighthouse. " * 3
FISH = "The perch is green.\n\nThe eel is long.\n\nThe cod is cold.\n\n" * 4


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("checkpoints")
    return make_tiny_checkpoint(folder / "one"), make_tiny_checkpoint(folder / "other", seed=1)


@pytest.fixture(scope="module")
def prepared(
    checkpoints: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WarmCommand]:
    """Anna has three documents, by their ids: birds, secret, fish; and `birds` is a snapshot."""
    folder = tmp_path_factory.mktemp("prepared")
    with warm_command(folder / "data", checkpoints[0]) as mplus:
        for name, text in (("birds", BIRDS), ("secret", SECRET), ("fish", FISH)):
            (folder / f"{name}.txt").write_text(text)
            ok(mplus("ingest", "-t", "anna", folder / f"{name}.txt", "--id", name))
            if name == "birds":
                ok(mplus("snapshot", "-t", "anna", "birds"))
        yield mplus


@pytest.fixture
def mplus(tmp_path: Path, prepared: WarmCommand) -> WarmCommand:
    shutil.copytree(prepared.data.parent, tmp_path, dirs_exist_ok=True)
    return prepared.at(tmp_path / "data")


def ok(done: Outcome) -> Outcome:
    assert done.code == 0, done.err
    assert "Traceback" not in done.err
    return done


def assert_refused(done: Outcome, code: int, said: str) -> None:
    assert done.code == code, done.err
    assert "Traceback" not in done.err
    assert said in done.err


def digest(mplus: WarmCommand, tenant: str = "anna", *more: str) -> str:
    return str(ok(mplus("digest", "-t", tenant, *more)).out.strip())


def listed(mplus: WarmCommand, tenant: str = "anna") -> Any:
    return ok(mplus("documents", "list", "-t", tenant, "--json")).json


def shards(mplus: WarmCommand) -> list[Path]:
    return sorted(mplus.data.glob("rows/*/*/*-rows-*"))


def test_a_document_that_is_forgotten_was_never_there(mplus: WarmCommand, tmp_path: Path) -> None:
    forgotten = ok(mplus("documents", "forget", "-t", "anna", "secret", "--json", "-")).json
    (receipt,) = forgotten["receipts"]
    stages = [receipt[stage] for stage in ("requested", "masked", "rebuilt", "purged")]
    assert [datetime.fromisoformat(stage) for stage in stages] == sorted(
        datetime.fromisoformat(stage) for stage in stages
    )
    for name in ("birds", "fish"):
        ok(mplus("ingest", "-t", "other", tmp_path / f"{name}.txt", "--id", name, "--seed", seed()))
    assert digest(mplus) == digest(mplus, "other")
    for path in mplus.data.rglob("*"):
        assert not path.is_file() or b"blue notebook" not in path.read_bytes()
    assert [document["id"] for document in listed(mplus)["documents"]] == ["birds", "fish"]
    again = ok(mplus("documents", "forget", "-t", "anna", "secret", "--json", "-")).json
    assert again == forgotten


def seed() -> str:
    """Of anna, who got it from her name."""
    return str(default_seed("anna"))


def test_documents_are_listed_shown_and_masked(mplus: WarmCommand, tmp_path: Path) -> None:
    rows = listed(mplus)["documents"]
    assert [(row["id"], row["state"]) for row in rows] == [
        (name, "memorized") for name in ("birds", "secret", "fish")
    ]
    assert [row["first_step"] - 1 for row in rows[1:]] == [row["end_step"] for row in rows[:-1]]
    limited = mplus("documents", "list", "-t", "anna", "--after", "birds", "--limit", "1", "--json")
    assert [row["id"] for row in ok(limited).json["documents"]] == ["secret"]
    shown = ok(mplus("documents", "show", "-t", "anna", "fish", "--json", "-")).json
    assert (shown["text"], shown["metadata"]) == (FISH, {"format": "txt"})
    assert "The perch is green." in ok(mplus("documents", "show", "-t", "anna", "fish")).out

    masked = ok(mplus("documents", "forget", "-t", "anna", "fish", "--later", "--json", "-")).json
    assert masked["receipts"][0]["masked"]
    assert not masked["receipts"][0]["rebuilt"]
    asked = ok(mplus("ask", "-t", "anna", "Which fish?", "--json", "-")).json
    assert "fish" not in {citation["document_id"] for citation in asked["citations"]}
    assert ok(mplus("documents", "show", "-t", "anna", "fish", "--json")).json["text"] is None
    assert_refused(mplus("export", "-t", "anna", tmp_path / "a.tar"), 2, "being forgotten")
    ok(mplus("ingest", "-t", "anna"))
    assert_refused(mplus("documents", "show", "-t", "anna", "fish"), 5, "no document 'fish'")
    assert_refused(mplus("documents", "forget", "-t", "anna", "x"), 5, "no document 'x'")


def test_documents_are_chosen_by_what_is_said_of_them(mplus: WarmCommand, tmp_path: Path) -> None:
    lines = tmp_path / "notes.jsonl"
    lines.write_text(
        '{"id": "old", "text": "The gate was green.", "tags": ["gate"], "year": 2019}\n'
        '{"id": "new", "text": "The gate is red.", "tags": ["gate"], "year": 2024}\n'
    )
    ok(mplus("ingest", "-t", "anna", lines))
    where = ("--tag", "gate", "--where", "year>=2020")
    listed = ok(mplus("documents", "list", "-t", "anna", *where, "--json", "-")).json
    new = f"{lines}#new"
    assert [each["id"] for each in listed["documents"]] == [new]
    found = ok(mplus("search", "Which colour?", "-t", "anna", *where, "--json", "-")).json
    assert {hit["document_id"] for hit in found["results"]} == {new}
    answer = ok(mplus("ask", "Which colour?", "-t", "anna", *where, "--json", "-")).json
    assert {each["document_id"] for each in answer["citations"]} == {new}
    gone = ok(mplus("documents", "forget", "-t", "anna", "--tag", "gate", "--json", "-")).json
    (receipt,) = gone["receipts"]
    assert (receipt["document_id"], receipt["documents"]) == (None, 2)
    assert receipt["purged"]
    both = mplus("documents", "forget", "-t", "anna", "birds", "--tag", "gate")
    assert_refused(both, 2, "one of the two")
    assert_refused(mplus("search", "x", "-t", "anna", "--where", "=3"), 2, "FIELD")


def test_a_failed_document_is_tried_again(mplus: WarmCommand, tmp_path: Path) -> None:
    bad = tmp_path / "bad.txt"
    bad.write_bytes(b"\xff")
    assert_refused(mplus("ingest", "-t", "anna", bad), 2, "not valid UTF-8")
    assert listed(mplus)["failed"][0]["source"] == str(bad)
    assert_refused(mplus("documents", "retry", "-t", "anna"), 2, "1 of 1 documents")
    bad.write_text("The finch is yellow.")
    retried = ok(mplus("documents", "retry", "-t", "anna", "--json", "-")).json
    assert (retried["documents"], retried["failed"]) == (1, [])
    assert listed(mplus)["failed"] == []


def test_an_id_is_for_one_document_and_new_text_replaces_the_old(
    mplus: WarmCommand, tmp_path: Path
) -> None:
    two = (tmp_path / "birds.txt", tmp_path / "fish.txt")
    assert_refused(mplus("ingest", "-t", "anna", *two, "--id", "x"), 2, "there are 2 files")
    (tmp_path / "new.txt").write_text("The notebook is gone.")
    ok(mplus("ingest", "-t", "anna", tmp_path / "new.txt", "--id", "secret"))
    assert [row["id"] for row in listed(mplus)["documents"]] == ["birds", "fish", "secret"]
    shown = ok(mplus("documents", "show", "-t", "anna", "secret", "--json", "-")).json
    assert shown["text"] == "The notebook is gone."


def test_a_tenant_is_made_limited_and_deleted(mplus: WarmCommand, tmp_path: Path) -> None:
    options = ("--seed", "5", "--precision", "int8", "--retention", "unbounded")
    made = ok(mplus("tenants", "create", "bela", *options, "--max-documents", "1", "--json"))
    assert (made.json["seed"], made.json["max_documents"]) == (5, 1)
    assert_refused(mplus("tenants", "create", "bela"), 2, "a tenant 'bela' already")
    assert_refused(mplus("tenants", "create", "x", "--precision", "int4"), 2, "int4")
    assert_refused(mplus("tenants", "set", "bela", "--max-bytes", "-1"), 2, "whole number")

    two = (tmp_path / "birds.txt", tmp_path / "fish.txt")
    full = mplus("ingest", "-t", "bela", *two, "--json", "-")
    assert_refused(full, 7, "`mplus tenants set bela --max-documents 2`")
    assert full.json["documents"] == 1
    assert full.json["chunks"] > 0
    ok(mplus("tenants", "set", "bela", "--max-documents", "none", "--max-bytes", "100"))
    assert_refused(mplus("ingest", "-t", "bela", *two), 7, "--max-bytes")
    changed = ok(mplus("tenants", "set", "bela", "--max-bytes", "none", "--json", "-")).json
    assert (changed["max_documents"], changed["max_bytes"]) == (None, None)
    assert ok(mplus("ingest", "-t", "bela", *two, "--json", "-")).json["documents"] == 1

    rows = {t["tenant"]: t for t in ok(mplus("tenants", "list", "--json", "-")).json["tenants"]}
    assert rows["bela"]["step"] == rows["bela"]["chunks"] > 0
    assert rows["bela"]["bytes"] > 0
    asked = mplus("tenants", "delete", "bela")
    assert asked.code == 1  # nobody answers
    assert "for good?" in asked.err
    ok(mplus("tenants", "delete", "bela", "--yes"))
    names = [t["tenant"] for t in ok(mplus("tenants", "list", "--json", "-")).json["tenants"]]
    assert names == ["anna"]
    assert {path.parts[-3] for path in shards(mplus)} == {shards(mplus)[0].parts[-3]}


def test_the_past_is_answered_and_forked(mplus: WarmCommand) -> None:
    (named,) = ok(mplus("snapshot", "-t", "anna", "--json", "-")).json["snapshots"]
    step = named["step"]
    past = digest(mplus, "anna", "--as-of", str(step))
    assert past == digest(mplus, "anna", "--snapshot", "birds") != digest(mplus)
    memorized = ok(mplus("documents", "show", "-t", "anna", "birds", "--json", "-")).json
    assert past == digest(mplus, "anna", "--as-of", memorized["memorized"])
    asked = ok(mplus("ask", "-t", "anna", "Which?", "--snapshot", "birds", "--json", "-")).json
    assert asked["step"] == step
    assert {citation["document_id"] for citation in asked["citations"]} == {"birds"}

    files = shards(mplus)
    ok(mplus("fork", "-t", "anna", "past", "--snapshot", "birds"))
    assert shards(mplus) == files
    ok(mplus("fork", "-t", "anna", "odd", "--step", str(step - 1)))
    assert set(shards(mplus)) > set(files)
    assert len(shards(mplus)) == len(files) + 1, "its own of the file that it cuts"
    assert digest(mplus, "past") == past
    assert digest(mplus, "odd") == digest(mplus, "anna", "--as-of", str(step - 1))
    ok(mplus("verify", "-t", "odd"))
    ok(mplus("tenants", "delete", "anna", "--yes"))
    assert digest(mplus, "past") == past
    ok(mplus("verify", "-t", "past"))


def test_a_moment_that_is_none_is_refused(mplus: WarmCommand) -> None:
    for moment in ("99", "-1"):
        assert_refused(mplus("digest", "-t", "anna", "--as-of", moment), 2, f"step {moment} is not")
    assert_refused(mplus("ask", "-t", "anna", "Who?", "--as-of", "soon"), 2, "nor a time")
    assert_refused(mplus("ask", "-t", "anna", "Who?", "--snapshot", "x"), 2, "no snapshot 'x'")
    both = ("--snapshot", "birds", "--as-of", "1")
    assert_refused(mplus("ask", "-t", "anna", "Who?", *both), 2, "two moments")
    assert_refused(mplus("snapshot", "-t", "anna", "birds"), 2, "a snapshot 'birds' already")
    assert_refused(mplus("snapshot", "-t", "anna", "--delete"), 2, "give NAME")
    assert_refused(mplus("fork", "-t", "anna", "anna"), 2, "a tenant 'anna' already")
    assert_refused(mplus("fork", "-t", "anna", "x", "--step", "99"), 2, "step 99")
    deleted = ok(mplus("snapshot", "-t", "anna", "birds", "--delete", "--json", "-")).json
    assert deleted["snapshots"] == []


@pytest.mark.parametrize("memory", [True, False])
def test_a_tenant_travels_as_a_file(mplus: WarmCommand, tmp_path: Path, memory: bool) -> None:
    file, options = tmp_path / "anna.tar", ("--with-memory",) if memory else ()
    exported = ok(mplus("export", "-t", "anna", file, *options, "--json", "-")).json
    assert (exported["documents"], exported["memory_files"] > 0) == (3, memory)
    assert exported["bytes"] == file.stat().st_size
    there = mplus.at(tmp_path / "there")
    imported = ok(there("import", file, "--tenant", "bela", "--json", "-")).json
    assert (imported["step"] == imported["chunks"]) is memory
    assert digest(there, "bela") == digest(mplus)
    moment = ("--snapshot", "birds")
    assert digest(there, "bela", *moment) == digest(mplus, "anna", *moment)
    assert_refused(mplus("import", file), 2, "a tenant 'anna' already")
    assert_refused(mplus("export", "-t", "anna", file), 2, "exists")


def test_an_archive_for_another_model_or_a_damaged_one_is_refused(
    mplus: WarmCommand, tmp_path: Path, checkpoints: tuple[Path, Path]
) -> None:
    file = tmp_path / "anna.tar"
    ok(mplus("export", "-t", "anna", file, "--with-memory"))
    there = mplus.at(tmp_path / "there", checkpoints[1])
    assert_refused(there("import", file), 4, "--documents-only")
    ok(there("import", file, "--documents-only"))
    assert_refused(there("ask", "-t", "anna", "Who?"), 4, "belongs to the checkpoint")
    ok(there("rebuild", "-t", "anna"))
    ok(there("ask", "-t", "anna", "Who?"))
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    assert_refused(mplus("import", file, "--tenant", "bela"), 2, "checksum")
    assert_refused(mplus("import", tmp_path / "gone", "--tenant", "bela"), 2, "does not exist")


def test_a_memory_moves_to_another_model(
    mplus: WarmCommand, tmp_path: Path, checkpoints: tuple[Path, Path]
) -> None:
    before = digest(mplus)
    renewed = mplus.at(mplus.data, checkpoints[1])
    done = ok(renewed("rebuild", "-t", "anna", "--json", "-")).json
    fresh = mplus.at(tmp_path / "fresh", checkpoints[1])
    for name in ("birds", "secret", "fish"):
        ok(fresh("ingest", "-t", "anna", tmp_path / f"{name}.txt", "--id", name))
    assert digest(renewed) == digest(fresh) != before
    assert done["step"] == len(chunks(mplus))
    assert_refused(mplus("ask", "-t", "anna", "Who?"), 4, "belongs to the checkpoint")
    ok(mplus("rebuild", "-t", "anna"))
    assert digest(mplus) == before


def chunks(mplus: WarmCommand) -> list[Any]:
    connection = sqlite3.connect(mplus.data / "ledger.db")
    try:
        return connection.execute("select step from chunks").fetchall()
    finally:
        connection.close()


def test_damage_is_found_and_mended(mplus: WarmCommand) -> None:
    before = digest(mplus)
    assert ok(mplus("verify", "-t", "anna", "--json", "-")).json["damaged"] == {}
    shards(mplus)[0].write_bytes(shards(mplus)[0].read_bytes()[:-9])
    shards(mplus)[1].unlink()
    assert_refused(mplus("digest", "-t", "anna"), 6, "is damaged")
    found = mplus("verify", "-t", "anna", "--json", "-")
    assert found.code == 1
    assert len(found.json["damaged"]) == len(found.json["repaired"]) == 2
    ok(mplus("verify", "-t", "anna"))
    assert digest(mplus) == before
    shards(mplus)[0].write_bytes(b"")
    asked = ok(mplus("ask", "-t", "anna", "Which?", "--json", "-"))
    assert "making it again" in asked.err
    assert asked.json["citations"]
    assert digest(mplus) == before


def test_a_log_that_was_changed_is_found(mplus: WarmCommand) -> None:
    connection = sqlite3.connect(mplus.data / "ledger.db")
    with connection:
        connection.execute("update documents set text = replace(text, 'owl', 'eel')")
    connection.close()
    done = mplus("verify", "-t", "anna", "--json", "-")
    assert done.code == 1
    assert any("not the one that was taken in" in problem for problem in done.json["problems"])
    assert any("`mplus rebuild`" in problem for problem in done.json["problems"])


def test_an_idle_memory_goes_cold_and_comes_back(mplus: WarmCommand) -> None:
    before = digest(mplus)
    ok(mplus("tenants", "set", "anna", "--cold-after", "0"))
    assert ok(mplus("sweep", "--json", "-")).json == {"cooled": 1, "merged": 0, "removed": 0}
    assert shards(mplus) == []
    assert ok(mplus("ask", "-t", "anna", "Which?", "--json", "-")).json["citations"]
    assert digest(mplus) == before


def test_an_unknown_tenant_is_refused_by_all(mplus: WarmCommand, tmp_path: Path) -> None:
    lines = (
        ("documents", "list"),
        ("documents", "show", "x"),
        ("documents", "forget", "x"),
        ("documents", "retry"),
        ("snapshot",),
        ("fork", "new"),
        ("digest",),
        ("verify",),
        ("rebuild",),
        ("export", str(tmp_path / "x.tar")),
    )
    for line in lines:
        assert_refused(mplus(*line, "-t", "nobody"), 5, "no tenant 'nobody'")
    assert_refused(mplus("tenants", "delete", "nobody", "--yes"), 5, "no tenant 'nobody'")
    assert not (tmp_path / "x.tar").exists()


class TestAskingTogether:
    def test_each_line_is_answered_as_if_alone(self, mplus: WarmCommand, tmp_path: Path) -> None:
        questions: list[dict[str, Any]] = [
            {"id": "owl", "question": "Which colour has the owl?", "max_tokens": 8},
            {"question": "Which colour?", "snapshot": "birds", "citations": 1, "max_tokens": 8},
            {"id": "none", "question": "Who?", "snapshot": "nothing"},
        ]
        file = tmp_path / "questions.jsonl"
        file.write_text("\n".join(map(json.dumps, questions)))
        done = mplus("ask", "-t", "anna", "--batch", file)
        assert done.code == 1, "one was not answered"
        told = {line["index"]: line for line in map(json.loads, done.out.splitlines())}
        assert [told[index]["id"] for index in range(3)] == ["owl", None, "none"]
        assert "there is no snapshot" in told[2]["error"]
        options = ("--max-tokens", "8", "--json", "-")
        alone = ok(mplus("ask", "-t", "anna", questions[0]["question"], *options)).json
        assert told[0]["response"]["answer"] == alone["answer"]
        (citation,) = told[1]["response"]["citations"]
        assert citation["document_id"] == "birds"

    @pytest.mark.parametrize(
        ("lines", "said"),
        [
            ("", "has no questions"),
            ('{"question": "Who?", "limit": 3}', "line 1: limit"),
            ("{", "line 1"),
        ],
    )
    def test_what_is_no_question_is_refused_before_any_is_asked(
        self, mplus: WarmCommand, tmp_path: Path, lines: str, said: str
    ) -> None:
        file = tmp_path / "questions.jsonl"
        file.write_text(lines)
        assert_refused(mplus("ask", "-t", "anna", "--batch", file), 2, said)

    def test_options_of_one_question_do_not_go_with_it(self, mplus: WarmCommand) -> None:
        refused = mplus("ask", "-t", "anna", "--batch", "x.jsonl", "--tag", "news")
        assert_refused(refused, 2, "tag cannot stand beside --batch")
        assert_refused(mplus("ask", "-t", "anna"), 2, "ask a question")
