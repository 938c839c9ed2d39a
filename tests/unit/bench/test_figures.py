"""The page of figures: every number of every command, and no stop at one that fails."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

import mplus_ray.bench.figures
from mplus_ray.bench.figures import Measurement, Outcome, measure, page, rows_of, write_page
from mplus_ray.model.errors import StorageError

MACHINE = {
    "commit": "abc",
    "device": "A chip, 2 cores",
    "threads": 1,
    "torch": "2",
    "python": "3.11",
}
FAKE = """
import json, sys
at = sys.argv.index("--json")
if "bad" in sys.argv: sys.exit("error: no such thing")
if "slow" in sys.argv: import time; time.sleep(60)
open(sys.argv[at + 1], "w").write(json.dumps({"n_of_it": len(sys.argv)}))
"""


def test_every_number_is_a_row_and_a_spread_is_one() -> None:
    figures = {
        "machine": {"threads": 2},
        "decode_ms": {"p50": 22.04, "p99": 24.0, "low": 20.5, "high": 25, "n": 30},
        "arms": {"1x8": {"tokens": 12345.6}, "name": "x", "whole": True},
        "count": 1_000_000,
    }
    assert dict(rows_of(figures)) == {
        "decode ms": "22 (20.5 to 25), p99 24, n = 30",
        "arms · 1x8 · tokens": "12,346",
        "count": "1,000,000",
    }


def test_the_page_says_what_when_and_where() -> None:
    good = Outcome(Measurement("Speed", ("bench", "model"), 1), {"a": 1}, 12.3)
    bad = Outcome(Measurement("Rest", ("eval", "quick"), 1), None, 1.0, "it broke")
    text = page([good, bad], MACHINE, datetime(2026, 11, 30, tzinfo=UTC))
    assert "2026-11-30 at commit abc" in text
    assert "A chip, 2 cores" in text
    assert (
        "## Speed\n\n`mplus bench model`, 12 s.\n\n| figure | value |\n|---|---|\n| a | 1 |" in text
    )
    assert "It failed: it broke" in text


def test_one_that_fails_leaves_the_others_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mplus_ray.bench.figures, "_MPLUS", FAKE)
    measurements = [
        Measurement("Bad", ("bad",), 1),
        Measurement("Slow", ("slow",), 0.02),
        Measurement("Good", ("good",), 1),
    ]
    said: list[str] = []
    bad, slow, good = measure(measurements, "somewhere", said.append)
    assert bad.error == "error: no such thing"
    assert slow.error == "it took longer than 0.02 minutes"
    assert (good.error, good.figures) == ("", {"n_of_it": 6})
    assert len(said) == 3


def test_a_page_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be written"):
        write_page(tmp_path / "none" / "x.md", [])
