"""A local Ray of our own: its files in a folder of ours, its processes ended by their ids.

Every process these tests start, at any depth and also when orphaned, carries MPLUS_TEST_RUN in
its environment; that is how ours are told from other people's.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import ray

RUN = uuid.uuid4().hex


@pytest.fixture(scope="session")
def ray_folder() -> Iterator[Path]:
    """Not under pytest's own folder: Ray's socket paths must stay below 108 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="mplus-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def _nothing_left_running(ray_folder: Path) -> Iterator[None]:
    """Also for a Ray that a command under test starts in a process of its own."""
    os.environ |= {"MPLUS_TEST_RUN": RUN, "RAY_TMPDIR": str(ray_folder)}
    yield
    ray.shutdown()
    _, alive = psutil.wait_procs(_ours(), timeout=15)
    commands = [" ".join(_cmdline(process))[:200] for process in alive]
    for process in alive:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    assert not commands, "left running by the tests:\n" + "\n".join(commands)


@pytest.fixture(scope="session")
def local_ray(_nothing_left_running: None) -> None:
    """Ray on two CPUs, shared by the tests of a session; it is shut down at its end."""
    ray.init(
        num_cpus=2,
        num_gpus=0,
        include_dashboard=False,
        object_store_memory=256 * 2**20,
        log_to_driver=False,
    )


def _ours() -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.environ().get("MPLUS_TEST_RUN") == RUN:
                found.append(process)
    return found


def _cmdline(process: psutil.Process) -> list[str]:
    with suppress(psutil.Error, OSError):
        return process.cmdline()
    return []
