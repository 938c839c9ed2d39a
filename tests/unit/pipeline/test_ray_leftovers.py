"""What a program that was killed left is found and removed; what belongs to the living stays."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mplus_ray.model.errors import StorageError
from mplus_ray.pipeline import ray_cluster
from mplus_ray.pipeline.ledger.heads.lease_owner import new_owner
from mplus_ray.pipeline.ray_leftovers import MARK, own_folder, sweep, swept_afterwards
from tests.api_world import until

_SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
# Like a program with a Ray: it owns a folder and a process, says so, and waits to be killed.
_PROGRAM = f"""
import os, subprocess, sys, time
from pathlib import Path
from mplus_ray.pipeline.ray_leftovers import own_folder, swept_afterwards
parent = Path(sys.argv[1])
with swept_afterwards(parent), own_folder("mplus-ray-", parent) as folder:
    child = subprocess.Popen({_SLEEP!r}, env=dict(os.environ, {MARK}=str(folder)))
    print(child.pid, folder, flush=True)
    time.sleep(600)
"""


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_a_folder_is_its_owners_and_goes_with_it(tmp_path: Path) -> None:
    with own_folder("mplus-ray-", tmp_path) as folder:
        assert folder.stat().st_mode & 0o777 == 0o700
        assert sweep(tmp_path) == []
        assert folder.exists()
    assert not folder.exists()


def test_what_the_dead_left_is_swept(tmp_path: Path) -> None:
    dead = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "from pipeline.ledger.heads.lease_owner import new_owner; print(new_owner())",
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    owner = dead.communicate()[0]
    folder = tmp_path / "mplus-ray-x"
    folder.mkdir()
    (folder / "mplus-owner").write_text(owner.strip())
    process = subprocess.Popen(_SLEEP, env={**os.environ, MARK: str(folder)})
    other = subprocess.Popen(_SLEEP, env={**os.environ, MARK: f"{folder}-other"})
    try:
        until(lambda: MARK.encode() in Path(f"/proc/{other.pid}/environ").read_bytes())
        assert sweep(tmp_path) == [folder]
        assert not folder.exists()
        assert process.wait(20) == -9
        assert other.poll() is None
    finally:
        for each in (process, other):
            each.kill()
            each.wait()


def test_what_is_not_ours_stays(tmp_path: Path) -> None:
    for name, owner in (("living", new_owner()), ("elsewhere", "other-host/1/1/x"), ("plain", "")):
        (tmp_path / name).mkdir()
        if owner:
            (tmp_path / name / "mplus-owner").write_text(owner)
    assert sweep(tmp_path) == []
    assert len(list(tmp_path.iterdir())) == 3


def test_a_program_that_is_killed_leaves_nothing(tmp_path: Path) -> None:
    program = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert program.stdout is not None
    pid, folder = program.stdout.readline().split()
    assert lives(int(pid))
    program.kill()
    program.wait()
    program.stdout.close()
    until(lambda: not lives(int(pid)) and not Path(folder).exists())


def test_a_program_that_ends_is_not_waited_for(tmp_path: Path) -> None:
    with swept_afterwards(tmp_path):
        pass
    assert not list(tmp_path.iterdir())


def test_a_ray_that_does_not_start_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def slow(**_: object) -> None:
        raise Exception("The current node timed out during startup. This could happen because")

    import ray

    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.setattr(ray, "init", slow)
    with (
        pytest.raises(StorageError, match="timed out during startup"),
        ray_cluster.local_ray(),
    ):
        pass
    assert not list(tmp_path.iterdir())
