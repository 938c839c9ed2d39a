"""Two writers on one tenant: the one that was taken for dead can do no harm when it wakes up."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from mplus_ray.model import MPlus
from mplus_ray.model.errors import BusyError
from mplus_ray.model.memory.digest import digest
from mplus_ray.pipeline.maintenance.head_files import purge
from mplus_ray.pipeline.maintenance.repair import verify
from mplus_ray.pipeline.workers.catch_up import catch_up
from tests.stalling import POINTS
from tests.worlds import World, load_model, make_text, many_files, opened

pytest_plugins = ["tests.postgres"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("model") / "checkpoint"


@pytest.fixture(scope="module")
def model(checkpoint: Path) -> MPlus:
    return load_model(checkpoint)


@pytest.fixture
def world(
    model: MPlus, ledger_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    many_files(monkeypatch.setattr)
    with opened(model, ledger_url, tmp_path / "rows") as made:
        yield made


@pytest.mark.parametrize("point", POINTS)
def test_a_late_writer_is_refused(world: World, checkpoint: Path, point: str) -> None:
    log = world.grow("anna", [("a", make_text("a", 5))])
    if point != "deleting":
        world.accept(log, "b", make_text("b", 6))
    late = subprocess.Popen(
        [sys.executable, "-m", "tests.stalling", checkpoint, world.url, world.folder, point],
        cwd=Path(__file__).parents[3],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        _wait_until_stopped(late)
        world.accept(log, "c", make_text("c", 4))
        said: list[str] = []

        def wake(*_: object) -> None:
            """In the middle of our own work, before any of it is committed."""
            if not said:
                late.send_signal(signal.SIGCONT)
                said.append(late.communicate(timeout=60)[0].strip())

        catch_up(world.engine, [log], wake)
        assert said == ["StaleLeaseError"]
    finally:
        late.kill()
        late.communicate()
    assert not verify(world.engine, log).damaged
    assert world.digest(log) == digest(world.chain(log)[-1])
    assert log.length() == log.heads.serving().head.step
    with world.engine.lease(log) as lease:
        purge(world.engine, log, lease)
    assert world.names() == log.heads.files()


def test_a_living_writer_is_waited_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    log = world.tenant("anna")
    lease = log.heads.claim("another/1/1", 60.0)
    monkeypatch.setattr("mplus_ray.pipeline.writing.engine.is_gone", lambda owner: False)
    object.__setattr__(world.engine, "patience", 0.0)
    with pytest.raises(BusyError, match="is writing this tenant's memory"):
        catch_up(world.engine, [log])
    log.heads.release(lease)
    assert catch_up(world.engine, [log]) == 0


def _wait_until_stopped(process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while psutil.Process(process.pid).status() != psutil.STATUS_STOPPED:
        assert process.poll() is None, "it ended before it stopped"
        assert time.monotonic() < deadline
        time.sleep(0.02)
