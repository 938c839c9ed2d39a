"""`mplus memorize` as a process: alone, beside others, on Ray, and killed."""

from __future__ import annotations

import random
import signal
import socket
import time
import urllib.request
from pathlib import Path

import pytest

from tests.integration.command import Command, Outcome
from tests.integration.tiny import make_tiny_checkpoint

TENANTS = ("anna", "bela", "cora")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture
def mplus(checkpoint: Path, tmp_path: Path) -> Command:
    return Command(tmp_path / "data", checkpoint)


def ok(done: Outcome) -> Outcome:
    assert done.code == 0, done.err
    return done


def write(folder: Path, words: int) -> Path:
    """A document a tenant, of words that are no other one's."""
    folder.mkdir(exist_ok=True)
    for tenant in TENANTS:
        rng = random.Random(tenant)
        text = " ".join(f"{tenant[0]}{rng.randrange(10**6)}" for _ in range(words))
        (folder / f"{tenant}.txt").write_text(text)
    return folder


def take_in(mplus: Command, documents: Path) -> None:
    for tenant in TENANTS:
        ok(mplus("ingest", "-t", tenant, documents / f"{tenant}.txt", "--no-wait"))


def undisturbed(mplus: Command, documents: Path) -> dict[str, str]:
    other = Command(mplus.data.with_name("undisturbed"), mplus.checkpoint)
    for tenant in TENANTS:
        ok(other("ingest", "-t", tenant, documents / f"{tenant}.txt"))
    return other.memory()


def test_what_waits_is_memorized_for_all_tenants(mplus: Command, tmp_path: Path) -> None:
    documents = write(tmp_path / "documents", 200)
    take_in(mplus, documents)
    done = ok(mplus("memorize", "--until-idle", "--json", "-")).json
    assert done["chunks"] > 0
    assert done["waiting"] == 0
    assert mplus.memory() == undisturbed(mplus, documents)
    assert ok(mplus("memorize", "--until-idle", "--json", "-")).json["chunks"] == 0


@pytest.mark.timeout(200)
def test_killed_at_any_time_it_goes_on_where_it_was(mplus: Command, tmp_path: Path) -> None:
    documents = write(tmp_path / "documents", 3000)
    take_in(mplus, documents)
    for delay in (0.3, 0.6, 0.9):
        with mplus.start("memorize") as running:
            _wait_for_a_lease(mplus)
            time.sleep(delay)
            running.kill()
    left = ok(mplus("status", "--json", "-")).json["backlog"]["chunks"]
    assert left > 0, "it was killed in the middle"
    ok(mplus("memorize", "--until-idle"))
    assert mplus.memory() == undisturbed(mplus, documents)


def test_ctrl_c_commits_and_ends_it_and_metrics_are_served(mplus: Command, tmp_path: Path) -> None:
    take_in(mplus, write(tmp_path / "documents", 3000))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    with mplus.start("memorize", "--metrics-port", port) as running:
        _wait_for_a_lease(mplus)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
            text = answer.read().decode()
        running.send_signal(signal.SIGINT)
        assert running.wait(timeout=60) == 0
    assert "mplus_memorized_chunks_total" in text
    assert "anna" not in text
    status = ok(mplus("status", "--json", "-")).json
    assert status["writers"] == []
    assert sum(tenant["step"] for tenant in status["tenants"]) > 0


@pytest.mark.timeout(200)
def test_on_ray_the_memory_is_the_same(mplus: Command, tmp_path: Path) -> None:
    documents = write(tmp_path / "documents", 200)
    take_in(mplus, documents)
    done = ok(mplus("memorize", "--writers", "1:2", "--until-idle", "--json", "-")).json
    assert done["waiting"] == 0
    assert mplus.memory() == undisturbed(mplus, documents)


@pytest.mark.parametrize("bounds", ["two", "2:1", "-1:2", "0:0"])
def test_bounds_that_are_none_are_refused(mplus: Command, bounds: str) -> None:
    done = mplus("memorize", f"--writers={bounds}", "--until-idle")
    assert done.code == 2
    assert "give MIN:MAX" in done.err


def _wait_for_a_lease(mplus: Command) -> None:
    deadline = time.monotonic() + 60
    while not ok(mplus("status", "--json", "-")).json["writers"]:
        assert time.monotonic() < deadline
