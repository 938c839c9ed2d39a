"""Writers on a real Ray: killed, starved of nodes and of their ledger, they lose nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mplus_ray.model import MPlus
from mplus_ray.model.memory.digest import digest
from mplus_ray.pipeline.installation import Installation, StoreUrl
from mplus_ray.pipeline.ledger.tenant_log import TenantLog
from mplus_ray.pipeline.workers.fleet import Fleet, Scale
from mplus_ray.pipeline.workers.ray_worker import Needs, RemoteWorker
from tests.worlds import World, load_model, make_text, opened

STEPS = 150


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("model") / "checkpoint"


@pytest.fixture(scope="module")
def model(checkpoint: Path) -> MPlus:
    return load_model(checkpoint)


@pytest.fixture
def world(model: MPlus, tmp_path: Path) -> Iterator[World]:
    with opened(model, f"sqlite:///{tmp_path / 'ledger.db'}", tmp_path / "rows") as made:
        yield made


def fill(world: World, names: str, steps: int = STEPS) -> list[TenantLog]:
    logs = [world.tenant(name) for name in names]
    for log in logs:
        world.accept(log, "a", make_text(log.tenant.name, steps))
    return logs


def fleet_of(world: World, checkpoint: Path, scale: Scale, needs: Needs) -> Fleet:
    store = StoreUrl(str(world.folder), world.data / "cache")
    installation = Installation(str(checkpoint), world.url, store)
    fleet: Fleet = Fleet(
        world.ledger,
        lambda: RemoteWorker(f"w{time.monotonic_ns()}", installation, needs, scale.slots),
        scale,
    )
    return fleet


def tick_until(fleet: Fleet, done: Callable[[], bool], seconds: float = 90.0) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, fleet
        fleet.tick()
        time.sleep(0.1)


def pids(fleet: Fleet) -> list[int]:
    writers = [w for w in fleet.writers if isinstance(w, RemoteWorker)]
    return [writer.started.pid for writer in writers if writer.started]


def is_exact(world: World, log: TenantLog) -> bool:
    assert log.heads.serving().head.step == log.length()
    return world.digest(log) == digest(world.chain(log)[-1])


@pytest.mark.usefixtures("local_ray")
def test_a_writer_killed_in_the_middle_is_replaced_and_the_memory_is_exact(
    world: World, checkpoint: Path
) -> None:
    logs = fill(world, "abcd")
    fleet = fleet_of(world, checkpoint, Scale(2, 2, slots=2), Needs(cpus=0.5))
    try:
        tick_until(fleet, lambda: logs[0].heads.serving().head.step > 0)
        killed = pids(fleet)[0]
        os.kill(killed, signal.SIGKILL)
        tick_until(fleet, fleet.idle)
        assert killed not in pids(fleet)
    finally:
        fleet.stop()
    assert all(is_exact(world, log) for log in logs)


@pytest.mark.usefixtures("local_ray")
def test_a_writer_that_is_stopped_commits_what_it_has(world: World, checkpoint: Path) -> None:
    (log,) = fill(world, "a", 4000)
    fleet = fleet_of(world, checkpoint, Scale(1, 1), Needs(cpus=0.5))
    tick_until(fleet, lambda: log.heads.serving().head.step > 0)
    fleet.stop()
    assert 0 < log.heads.serving().head.step < log.length()
    assert log.heads.claim("somebody else", 1.0).epoch == 2, "the lease was given back"


@pytest.mark.usefixtures("local_ray")
def test_a_writer_without_a_checkpoint_says_so(world: World, tmp_path: Path) -> None:
    from mplus_ray.model.errors import MPlusError

    fill(world, "a", 1)
    fleet = fleet_of(world, tmp_path / "nothing", Scale(1, 1), Needs(cpus=0.5))
    try:
        with pytest.raises(MPlusError, match="nothing"):
            tick_until(fleet, fleet.idle)
    finally:
        fleet.stop()


@pytest.mark.timeout(300)
def test_nodes_come_with_the_backlog_are_lost_and_go_when_idle(
    world: World, checkpoint: Path
) -> None:
    logs = fill(world, "abcd", 1500)
    command = [sys.executable, "-m", "tests.autoscaling", checkpoint, world.url, world.folder]
    done = subprocess.run(
        [str(part) for part in command],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    print(seen)
    assert seen["nodes_before"] == 0
    assert seen["waiting_when_the_node_was_lost"] > 0
    assert seen["deaths"] == 1
    assert seen["nodes_after"] == 0
    assert all(is_exact(world, log) for log in logs)
