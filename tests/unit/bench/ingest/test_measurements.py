"""The measurements of `bench.ingest` and the judgement of `bench.soak`, on a tiny random model."""

from __future__ import annotations

import functools
from pathlib import Path
from random import Random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import mplus_ray.bench.ingest.latency
import mplus_ray.bench.ingest.small
from mplus_ray.bench.fixture import installation, tenant
from mplus_ray.bench.ingest.figures import Marks, flatness, part_rates
from mplus_ray.bench.ingest.latency import measure_idle, measure_loaded
from mplus_ray.bench.ingest.long import measure_long
from mplus_ray.bench.ingest.short import measure_short
from mplus_ray.bench.ingest.small import measure_small
from mplus_ray.bench.ingest.texts import Texts, accept
from mplus_ray.bench.ingest.throughput import measure_throughput, tokenized, workload
from mplus_ray.bench.ingest.titled import draw_titled, measure_titles
from mplus_ray.bench.soak.arrivals import Arrivals, Journal
from mplus_ray.bench.soak.compare import compare
from mplus_ray.model import MPlus
from mplus_ray.model.errors import InvalidInputError
from mplus_ray.model.training.data.text import Corpus
from mplus_ray.pipeline.parsing.document import ParsedDocument
from mplus_ray.pipeline.workers.worker import Worker
from mplus_ray.pipeline.writing.observer import Commit
from tests.checkpoints import write_checkpoint
from tests.worlds import load_model, without_flushing

LINES = "Nadia Kelm keeps a tortoise. It is older than her house, and it bites. Nobody minds.\n"


@functools.cache
def texts():
    return Texts()


@pytest.fixture(autouse=True)
def _quick_disk(monkeypatch):
    without_flushing(monkeypatch.setattr)


@pytest.fixture
def model(tmp_path):
    return load_model(tmp_path / "checkpoint")


def silent(what):
    """Nobody looks."""


def test_documents_differ_and_come_again_from_their_seed():
    one, other = texts().document("a", 2_000), texts().document("b", 2_000)
    assert one == texts().document("a", 2_000)
    assert one.text != other.text
    assert all(1_500 < len(document.text) < 2_500 for document in (one, other))


def test_a_document_can_be_longer_than_all_there_is(tmp_path):
    (tmp_path / "one.txt").write_text(LINES)
    assert len(Texts(tmp_path).document("a", 1_000).text) > 800


def test_messages_are_sentences_or_lines_of_dialogues(tmp_path):
    (tmp_path / "one.txt").write_text(LINES)
    small = Texts(tmp_path)
    turns = small.turns(5)
    assert turns[:2] == [
        "Nadia Kelm keeps a tortoise.",
        "It is older than her house, and it bites.",
    ]
    assert len(turns) == 5
    table = pa.table(
        {"text": ["User: I would like a table.\nSystem: For how many people?\nUser: 2"]}
    )
    pq.write_table(table, tmp_path / "talk.parquet")
    talk = small.turns(2, tmp_path / "talk.parquet")
    assert talk == ["I would like a table.", "For how many people?"]


def test_a_file_without_dialogues_is_refused(tmp_path):
    pq.write_table(pa.table({"words": ["a"]}), tmp_path / "other.parquet")
    pq.write_table(pa.table({"text": ["User: 2"]}), tmp_path / "short.parquet")
    for name in ("other.parquet", "short.parquet", "none.parquet"):
        with pytest.raises(InvalidInputError, match=name):
            texts().turns(1, tmp_path / name)


def test_parts_are_of_equal_size_and_rates_are_of_what_was_committed():
    # 10 tokens a second, then 5: the fourth commit ends the first half.
    marks = [(1.0, 10), (2.0, 10), (4.0, 10), (6.0, 10)]
    assert part_rates(marks, 2) == [10.0, 5.0]
    assert flatness([10.0, 8.0, 5.0]) == {"last_to_first": 0.5, "largest_deviation": 0.375}


def test_marks_are_the_commits_of_a_worker(model, tmp_path):
    with installation(tmp_path / "data", model) as system:
        log = tenant(system)
        accept(log, texts().document("a", 300), model.tokenizer)
        marks = Marks()
        Worker(system.engine, observer=marks).drain()
        assert sum(tokens for _, tokens in marks.marks) == log.tokens()
        assert 0 < marks.marks[0][0] <= marks.seconds
    marks.committed(Commit("t", 1, 1, 7, 0.0, 0.0))
    assert marks.marks[-1][1] == 7


def test_throughput_is_of_the_same_chunks_in_every_arm(model, tmp_path):
    arms = measure_throughput(tmp_path, model, texts(), (1, 4), 1_200, 2, silent)
    for count in (1, 4):
        arm = arms[f"tenants_{count}"]
        owners = workload(texts(), count, 1_200, 0)
        chunks = [ids for own in owners for ids in tokenized(model, own)]
        assert len(owners) == count
        assert (arm["steps"], arm["tokens"]) == (len(chunks), sum(map(len, chunks)))
        assert arm["end_to_end"]["n"] == 2
        assert arm["end_to_end"]["median"] < arm["from_log"]["high"]
    assert arms["forward"].keys() == {"batch_1", "batch_4"}
    assert not [path for path in tmp_path.iterdir() if path.name != "checkpoint"]


def test_a_message_is_answerable_whether_or_not_others_wait(model, tmp_path, monkeypatch):
    for name, value in (
        ("_BACKLOG_STEPS", 4),
        ("_CHARACTERS", 200),
        ("_INTERVAL_SECONDS", 0.05),
        ("_PAUSE_SECONDS", 0.0),
    ):
        monkeypatch.setattr(mplus_ray.bench.ingest.latency, name, value)
    turns = texts().turns(3)
    with installation(tmp_path / "data", model) as system:
        idle = measure_idle(system, turns)
        loaded = measure_loaded(system, texts(), turns, silent)
        logs = [system.ledger.tenant(name) for name in ("idle", "talker")]
        assert all(log.heads.serving().head.step == log.length() for log in logs)
    assert idle["answerable_ms"]["n"] == loaded["answerable_ms"]["n"] == 3
    assert idle["answerable_ms"]["low"] > 0
    assert loaded["backlog_tokens_per_second"] > 0


def test_small_documents_are_all_timed(model, tmp_path):
    found = measure_small(tmp_path / "data", model, count=20, tenants=4)
    assert found["burst_answerable_ms"]["n"] == 20
    assert found["at_half_rate"]["answerable_ms"]["n"] == 4
    assert found["peak_mb"] >= found["peak_mb_before"] > 0


def test_a_long_memory_has_a_rate_for_each_tenth(model, tmp_path, monkeypatch):
    monkeypatch.setattr("mplus_ray.bench.ingest.long._CHARACTERS", 400)
    found = measure_long(tmp_path / "data", model, 1_500)
    assert found["tokens"] >= 1_500
    assert 1 <= len(found["rates"]) <= 10
    assert len(found["accepting_rates"]) <= found["documents"]


def test_short_documents_are_asked_as_full_chunks_are(tmp_path):
    write_checkpoint(tmp_path / "checkpoint", chunk_tokens=160, retrieval="blocks")
    model = MPlus.load(tmp_path / "checkpoint", device="cpu")
    corpus = Corpus(np.array(model.tokenizer.encode(texts().document("prose", 3_000).text)))
    arms = measure_short(model, corpus, 1, (0, 320))
    assert arms["in_prose"]["tokens_per_step"] == 160
    assert arms["alone"]["steps"] == 12 > arms["packed"]["steps"] >= 4
    assert arms["untold"]["steps"] == 0
    for arm in arms.values():
        assert arm["0"]["n"] == arm["320"]["n"] == 12
        assert 0 <= arm["0"]["low"] <= arm["0"]["exact"] <= arm["0"]["high"] <= 1
    assert arms["untold"]["0"]["found"] == 0


def test_a_fact_is_told_with_and_without_its_title(tmp_path):
    write_checkpoint(tmp_path / "checkpoint", chunk_tokens=160, retrieval="blocks")
    model = MPlus.load(tmp_path / "checkpoint", device="cpu")
    corpus = Corpus(np.array(model.tokenizer.encode(texts().document("prose", 3_000).text)))
    arms = measure_titles(model, corpus, 1, (0,))
    assert len(arms) == 8
    for name in ("named", "named_and_titled", "titled_only", "neither"):
        assert arms[f"{name}_in_prose"]["tokens_per_step"] == 160
    assert arms["neither"]["tokens_per_step"] < arms["named"]["tokens_per_step"]
    assert arms["named"]["tokens_per_step"] < arms["named_and_titled"]["tokens_per_step"]
    fact = draw_titled(Random(0))
    assert fact.title in fact.statement
    assert fact.title in fact.question
    assert fact.unnamed == fact.statement.replace(fact.title, "She")


def test_facts_that_fit_into_no_chunk_are_refused(model):
    with pytest.raises(InvalidInputError, match="chunks of 16 tokens"):
        measure_short(model, Corpus(np.zeros(100, np.int64)), 1, (0,))


def soaked(folder: Path, model: MPlus, wishes: int) -> tuple[Arrivals, list[str]]:
    """What came, and what `compare` finds; documents go as well as come."""
    with installation(folder / "soaked", model) as system:
        arrivals = Arrivals(system, texts(), Random(2), Journal())
        for number in range(wishes):
            arrivals.send()
            if number % 40 == 39:
                Worker(system.engine).drain()
        Worker(system.engine).drain()
        found = compare(system, folder / "undisturbed", arrivals.journal, silent)
        problems: list[str] = found["problems"]
        assert found["steps"] == sum(summary.chunks for summary in system.ledger.tenants())
    return arrivals, problems


def test_a_soak_finds_nothing_where_nothing_is_wrong(model, tmp_path, monkeypatch):
    monkeypatch.setattr("mplus_ray.bench.soak.arrivals._CHARACTERS", (40, 80))
    monkeypatch.setattr("mplus_ray.bench.soak.arrivals._TENANT_DOCUMENTS", 5)
    arrivals, problems = soaked(tmp_path, model, 80)
    journal = arrivals.journal
    assert problems == []
    assert min(journal.forgotten, journal.replaced, journal.repeated) > 0
    assert len(journal.tenants) > 6  # some were full
    stay = sum(len(documents) for documents in journal.tenants.values())
    assert stay == journal.accepted - journal.replaced - journal.forgotten


def test_a_soak_finds_what_was_lost_and_what_came_back(model, tmp_path):
    text = texts().document("a", 200).text
    journal = Journal()
    with installation(tmp_path / "soaked", model) as system:
        for name in ("lost", "back", "same"):
            log = tenant(system, name)
            accept(log, ParsedDocument("a", text), model.tokenizer)
            journal.note(name, "a", text)
        Worker(system.engine).drain()
        journal.note("lost", "b", text)
        del journal.tenants["back"]["a"]
        problems = compare(system, tmp_path / "undisturbed", journal, silent)["problems"]
    assert {problem.partition(":")[0] for problem in problems} == {"lost", "back"}
    assert sum("the memory is" in problem for problem in problems) == 2
    assert sum("other documents" in problem for problem in problems) == 2
