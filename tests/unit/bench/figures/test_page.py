"""The page of figures has every number of every command, and README the few that say most."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from mplus_ray.bench.figures import run
from mplus_ray.bench.figures.measurements import Measurement, Outcome, measurements
from mplus_ray.bench.figures.page import (
    BEGIN,
    END,
    ROWS,
    block,
    page,
    readme_block,
    write_block,
    write_page,
)
from mplus_ray.bench.figures.rows import rows_of
from mplus_ray.model.errors import InvalidInputError, StorageError
from tests.paths import ROOT

MACHINE = {
    "commit": "abc",
    "device": "A chip, 2 cores",
    "threads": 1,
    "torch": "2",
    "python": "3.11",
}
MOMENT = datetime(2026, 11, 30, tzinfo=UTC)
RAG = {
    "arms": {
        "memory": {
            "first_token_ms": {"p50": 114.2, "low": 87.0, "high": 158.4, "n": 100},
            "f1": 0.654,
            "f1_low": 0.57,
            "f1_high": 0.74,
            "answers_a_second": 7.55,
        },
        "bm25 in the prompt": {"first_token_ms": {"p50": 1314, "low": 710, "high": 2004}},
    }
}
INGEST = {"acknowledged_to_answerable_ms": {"p50": 144, "p99": 584, "under_load": {"p50": 517}}}


def outcome(name: str, figures: object, error: str = "") -> Outcome:
    return Outcome(Measurement(name, "Speed", ("bench", name), 1), figures, 12.3, error)


def test_every_number_is_a_row_with_its_spread() -> None:
    figures = {
        "machine": {"threads": 2},
        "decode_ms": {"p50": 22.04, "p99": 24.0, "low": 20.5, "high": 25, "n": 30},
        "rate": {"median": 3, "low": 1, "high": 4},
        "answerable": {"p50": 144, "p99": 584, "under_load": {"p50": 517, "p99": 2551}},
        "arms": {"1x8": {"tokens": 12345.6}, "name": "x", "whole": True},
        "told": {"exact": 0.5, "low": 0.4, "high": 0.6, "n": 100},
        "memory": {"f1": 0.65, "f1_low": 0.57, "f1_high": 0.74, "prompt": 12},
        "lost": {"exact": None, "low": 0.0, "high": 1.0, "n": 0},
        "count": 1_000_000,
    }
    assert list(rows_of(figures)) == [
        ("decode ms", "22", "20.5 to 25, p99 24, n = 30"),
        ("rate", "3", "1 to 4"),
        ("answerable", "144", "p99 584"),
        ("answerable · under load", "517", "p99 2,551"),
        ("arms · 1x8 · tokens", "12,346", ""),
        ("told · exact", "0.5", "0.4 to 0.6, n = 100"),
        ("memory · f1", "0.65", "0.57 to 0.74"),
        ("memory · prompt", "12", ""),
        ("count", "1,000,000", ""),
    ]


def test_the_page_says_what_when_where_and_what_is_missing() -> None:
    outcomes = [outcome("model", {"a": 1}), outcome("rest", None, "it broke")]
    text = page(outcomes, MACHINE, MOMENT, ["No questions."])
    assert "2026-11-30 at commit abc" in text
    assert "A chip, 2 cores" in text
    assert "`mplus bench model`, 12 s.\n\n| figure | value | spread |\n|---|---|---|\n| a |" in text
    assert "It failed: it broke" in text
    assert "- No questions.\n" in text


def test_the_few_have_value_spread_and_command() -> None:
    lines = block([outcome("rag", RAG), outcome("ingest", INGEST)]).splitlines()
    first, f1, rate, message = lines[2:]
    assert "| 114 ms (87 to 158) | 1,314 ms (710 to 2,004) BM25" in first
    assert "| 65 % (57 to 74) | not measured BM25" in f1
    assert "| 7.55 | not measured" in rate
    assert "| 144 ms (p99 584) | 517 ms beside" in message
    assert all("`mplus bench " in line for line in lines[2:])


def test_one_that_failed_shows_nothing_older() -> None:
    lines = block([outcome("rag", None, "it broke")]).splitlines()
    assert all("| not measured | not measured " in line for line in lines[2:])


def test_every_row_is_of_a_measurement() -> None:
    assert {row.measurement for row in ROWS} <= {one.name for one in measurements()}


def test_the_block_replaces_what_was_there_and_nothing_else(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"# Before\n{BEGIN}\nold\n{END}\nafter\n")
    write_block(readme, readme_block([outcome("rag", RAG)], MACHINE, MOMENT))
    text = readme.read_text()
    assert text.startswith(f"# Before\n{BEGIN}\n| | here |")
    assert text.endswith(f"Python 3.11).\n{END}\nafter\n")
    assert "old" not in text
    write_block(readme, "new")
    assert readme.read_text() == f"# Before\n{BEGIN}\nnew\n{END}\nafter\n"


def test_readme_has_a_place_for_figures() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    assert text.count(BEGIN) == text.count(END) == 1


@pytest.mark.parametrize("missing", ["folder", "block", "questions"])
def test_what_cannot_be_written_or_read_is_said_before_the_hour(
    tmp_path: Path, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "measure", lambda *_: pytest.fail("it was measured first"))
    readme, data = tmp_path / "README.md", tmp_path / "data.jsonl"
    readme.write_text("" if missing == "block" else f"{BEGIN}\n{END}\n")
    data.write_text("" if missing == "questions" else '{"context": "a", "question": "b"}\n')
    out = tmp_path / ("none/x.md" if missing == "folder" else "x.md")
    with pytest.raises((StorageError, InvalidInputError)):
        run.main(out, readme, data, None, lambda text: None)


def test_a_run_writes_both_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "measure", lambda *_: [outcome("rag", RAG)])
    readme, out = tmp_path / "README.md", tmp_path / "x.md"
    readme.write_text(f"{BEGIN}\n{END}\n")
    run.main(out, readme, None, None, lambda text: None)
    assert "114 ms (87 to 158)" in readme.read_text()
    assert "114 ms (87 to 158)" in out.read_text()
    assert "none was given (`make figures DATA=" in out.read_text()


def test_a_page_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be written"):
        write_page(tmp_path / "none" / "x.md", "")
