"""One command that fails, hangs or leaves something behind stops none of the others."""

from __future__ import annotations

import time
from pathlib import Path

import psutil
import pytest

from mplus_ray.bench.figures import measurements as module
from mplus_ray.bench.figures.measurements import Measurement, measure, measurements

FAKE = """
import json, subprocess, sys, time
at = sys.argv.index("--json")
if "bad" in sys.argv: sys.exit("error: no such thing")
if "mute" in sys.argv: sys.exit(7)
if "wrong" in sys.argv: open(sys.argv[at + 1], "w").write("{"); sys.exit()
if "none" in sys.argv: sys.exit()
if "slow" in sys.argv:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], stderr=2)
    open(sys.argv[sys.argv.index("slow") + 1], "w").write(str(child.pid))
    time.sleep(60)
open(sys.argv[at + 1], "w").write(json.dumps({"arguments": len(sys.argv)}))
"""


@pytest.fixture(autouse=True)
def _fake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MPLUS", FAKE)


def one(*command: str, minutes: float = 1, takes_checkpoint: bool = True) -> Measurement:
    return Measurement(command[0], "Title", command, minutes, takes_checkpoint)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("bad", "error: no such thing"),
        ("mute", "it ended with code 7 and said nothing"),
        ("wrong", "it wrote no figures: "),
        ("none", "it wrote no figures: "),
    ],
)
def test_one_that_fails_leaves_the_others_alone(command: str, said: str) -> None:
    told: list[str] = []
    failed, good = measure([one(command), one("good")], None, told.append)
    assert failed.error.startswith(said)
    assert failed.figures is None
    assert (good.error, good.figures) == ("", {"arguments": 4})
    assert len(told) == 4
    assert said in told[1]


def test_one_that_hangs_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    slow, good = measure([one("slow", str(pid), minutes=0.1), one("good")], None, lambda text: None)
    assert slow.error == "it took longer than 0.1 minutes"
    assert good.figures
    child = int(pid.read_text())
    deadline = time.monotonic() + 10
    while psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "what it started still runs"
        time.sleep(0.05)


def test_what_has_no_time_left_is_named() -> None:
    (late,) = measure([one("good")], None, lambda text: None, minutes=0.0)
    assert late.error == "no time was left of 0 minutes"


def test_a_checkpoint_goes_to_those_that_take_one() -> None:
    chosen = [one("good"), one("good", takes_checkpoint=False)]
    takes, leaves = measure(chosen, "somewhere", lambda text: None)
    assert (takes.figures, leaves.figures) == ({"arguments": 6}, {"arguments": 4})


def test_questions_go_to_the_comparison_with_passages(tmp_path: Path) -> None:
    shipped, given = measurements(), measurements(tmp_path)
    assert [a.command for a in given[1:]] == [b.command for b in shipped[1:]]
    assert given[0].command[-2:] == ("--data", str(tmp_path))
