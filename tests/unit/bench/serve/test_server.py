"""A service under measurement: it starts, it is looked at, and nothing of it is left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

import mplus_ray.bench.serve.mixed
import mplus_ray.bench.serve.reads
import mplus_ray.bench.serve.server
import mplus_ray.bench.serve.speed
from mplus_ray.bench.serve.processes import Process, memory_of, processes_with
from mplus_ray.bench.serve.samples import ServeBenchError
from mplus_ray.bench.serve.server import ServerFolder, first_json, serving


def enter(place: ServerFolder) -> None:
    with serving(place):
        pytest.fail("it was ready")


def test_an_object_is_read_when_it_is_complete() -> None:
    text = json.dumps({"url": "http://127.0.0.1:1", "operator_key": "o"}, indent=2).splitlines(True)
    assert [first_json(text[:n]) is None for n in range(len(text))] == [True] * len(text)
    assert first_json(text) == {"url": "http://127.0.0.1:1", "operator_key": "o"}


def test_memory_is_of_what_runs_and_by_role(tmp_path: Path) -> None:
    rollup = "00-ff ---p 0 00:00 0 [rollup]\nRss: 900 kB\nPss: {} kB\nPss_File: {} kB\n"
    for pid, sizes in ((7, (100, 60)), (8, (10, 0))):
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "smaps_rollup").write_text(rollup.format(*sizes))
    processes = [
        Process(7, "ray::ServeReplica:mplus:Readers "),
        Process(8, "raylet --x"),
        Process(9, "ended"),
    ]
    found = memory_of(processes, proc=tmp_path)
    assert (found.total, found.own) == (110 << 10, 50 << 10)
    assert found.by_role == {"readers": 100 << 10, "other": 10 << 10}
    mine = memory_of([Process(os.getpid(), "pytest")])
    assert mine.total > mine.own > 1 << 20


def test_a_service_that_does_not_start_is_an_error_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = "import sys; print('error: no such checkpoint', file=sys.stderr); sys.exit(3)"
    monkeypatch.setattr(mplus_ray.bench.serve.server, "_MPLUS", broken)
    with pytest.raises(ServeBenchError, match="ended while it started:\nerror: no such checkpoint"):
        enter(ServerFolder(tmp_path / "data", "unused", 1))


def test_a_service_that_is_never_ready_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mplus_ray.bench.serve.server, "_MPLUS", "import time; time.sleep(60)")
    monkeypatch.setattr(mplus_ray.bench.serve.server, "_READY_SECONDS", 0.1)
    place = ServerFolder(tmp_path / "data", "unused", 1)
    with pytest.raises(ServeBenchError, match="was not ready"):
        enter(place)
    assert not place.processes()


def test_nothing_is_left_of_a_service_that_leaves_something(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    careless = (
        "import json, os, subprocess, sys, time\n"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "told = {'url': 'http://127.0.0.1:1', 'ledger': os.environ.get('MPLUS_LEDGER_URL')}\n"
        "print(json.dumps(told, indent=2), flush=True)\n"
        "time.sleep(60)"
    )
    monkeypatch.setattr(mplus_ray.bench.serve.server, "_MPLUS", careless)
    monkeypatch.setattr(mplus_ray.bench.serve.server, "_STOP_SECONDS", 1.0)
    monkeypatch.setenv("MPLUS_LEDGER_URL", "postgresql://elsewhere")
    place = ServerFolder(tmp_path / "data", "unused", 1)
    assert "MPLUS_LEDGER_URL" not in place.environment
    began = time.monotonic()
    with serving(place) as server:
        assert server.url == "http://127.0.0.1:1"
        assert server.operator_key is None
        assert len(place.processes()) == 2
        with pytest.raises(ServeBenchError, match="0 processes look like the one reader"):
            server.reader()
    assert not place.processes()
    assert time.monotonic() - began < 30


def test_processes_are_found_by_their_environment(tmp_path: Path) -> None:
    own = {**os.environ, "MPLUS_DATA": str(tmp_path)}
    sleep = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    with subprocess.Popen(sleep, env=own, stdin=subprocess.PIPE) as process:
        assert [p.pid for p in processes_with("MPLUS_DATA", str(tmp_path))] == [process.pid]
        process.communicate()
    assert not processes_with("MPLUS_DATA", str(tmp_path))
