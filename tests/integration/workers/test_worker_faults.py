"""What a writer depends on goes away in the middle, and comes back."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import create_engine, text

from mplus_ray.model import MPlus
from mplus_ray.model.memory.digest import digest
from mplus_ray.pipeline.workers.worker import Worker
from tests.worlds import load_model, make_text, opened

if TYPE_CHECKING:
    from tests.postgres import Postgres

pytest_plugins = ["tests.postgres"]

AWAY_SECONDS = 3.0


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("model") / "checkpoint"


@pytest.fixture(scope="module")
def model(checkpoint: Path) -> MPlus:
    return load_model(checkpoint)


@pytest.fixture
def database(postgres: Postgres) -> Iterator[str]:
    url = postgres.database("ledger_template")
    yield url
    postgres.drop(url)


def test_a_ledger_that_goes_away_is_waited_for(
    model: MPlus, database: str, postgres: Postgres, tmp_path: Path
) -> None:
    name, stop, steps = database.rsplit("/", 1)[1], threading.Event(), list[int]()
    admin = create_engine(postgres.address + "postgres", isolation_level="AUTOCOMMIT")
    with opened(model, database, tmp_path / "rows") as world:
        logs = [world.tenant(name) for name in "abc"]
        for log in logs:
            world.accept(log, "a", make_text(log.tenant.name, 3000))
        runner = threading.Thread(target=lambda: steps.append(Worker(world.engine).run(stop)))
        runner.start()
        try:
            _wait(lambda: logs[0].heads.serving().head.step > 0)
            with admin.connect() as server:
                server.execute(text(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false"))
                cut = text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"
                )
                assert server.execute(cut, {"name": name}).all()
                time.sleep(AWAY_SECONDS)
                assert runner.is_alive()
                server.execute(text(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true"))
            left = sum(one.chunks for one in world.ledger.waiting())
            assert left > 0, "it went away in the middle"
            _wait(lambda: not world.ledger.waiting())
        finally:
            stop.set()
            runner.join()
            admin.dispose()
        for log in logs:
            assert log.heads.serving().head.step == log.length()
            assert world.digest(log) == digest(world.chain(log)[-1])


def _wait(done: Callable[[], bool], seconds: float = 100.0) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.timeout(200)
def test_the_cluster_s_head_restarts_its_control_store(
    model: MPlus, checkpoint: Path, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    with opened(model, url, tmp_path / "rows") as world:
        logs = [world.tenant(name) for name in "abcd"]
        for log in logs:
            world.accept(log, "a", make_text(log.tenant.name, 2000))
        command = [sys.executable, "-m", "tests.control_store", checkpoint, url, world.folder]
        done = subprocess.run(
            [str(part) for part in command],
            cwd=Path(__file__).parents[3],
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        seen = json.loads(done.stdout.splitlines()[-1])
        assert seen["waiting_when_it_was_killed"] > 0
        assert seen["same_writers_afterwards"]
        for log in logs:
            assert log.heads.serving().head.step == log.length()
            assert world.digest(log) == digest(world.chain(log)[-1])
