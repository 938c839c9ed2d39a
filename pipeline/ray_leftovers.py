"""Temporary folders of a program's own Ray, and what is left of a program that was killed.

A folder names the process it belongs to, and processes that are started for it carry its path in
their environment. So a later program finds what a dead one left. A small process of its own waits
for the program's end, however that comes, and does the same at once:

    python -m pipeline.ray_leftovers PARENT
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mplus_ray.pipeline.ledger.heads.lease_owner import is_gone, new_owner

MARK = "MPLUS_RAY_FOLDER"  # in the environment of every process that is started for a folder
_OWNER = "mplus-owner"
_END_SECONDS = 10.0
_LOOK_SECONDS = 0.05
_log = logging.getLogger(__name__)


def parent_folder() -> Path:
    """Where such folders are made: RAY_TMPDIR, or /tmp, because sockets have short paths."""
    return Path(os.environ.get("RAY_TMPDIR", "/tmp"))


@contextmanager
def own_folder(prefix: str, parent: Path) -> Iterator[Path]:
    """A folder for this user and this process alone, gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    (folder / _OWNER).write_text(new_owner())
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def swept_afterwards(parent: Path) -> Iterator[None]:
    """Have what this process leaves in `parent` swept as soon as it has ended, even if killed."""
    command = [sys.executable, "-m", __name__, str(parent)]
    paths = os.pathsep.join(path for path in sys.path if path)
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        env={"PATH": os.environ.get("PATH", ""), "PYTHONPATH": paths},
        start_new_session=True,  # a Ctrl-C is for us
    )
    assert process.stdin is not None
    try:
        yield
    finally:
        process.terminate()
        process.stdin.close()
        process.wait()


def sweep(parent: Path) -> list[Path]:
    """End the processes and remove the folders of programs of this user that are gone.

    Returns the folders.
    """
    swept = []
    for owner in parent.glob(f"*/{_OWNER}"):
        folder = owner.parent
        with suppress(OSError):
            ours = not folder.is_symlink() and folder.stat().st_uid == os.getuid()
            if ours and is_gone(owner.read_text()):
                end_processes(folder)
                shutil.rmtree(folder, ignore_errors=True)
                swept.append(folder)
    return swept


def end_processes(folder: Path) -> None:
    """Kill all that was started for a folder, and wait until it is gone."""
    deadline = time.monotonic() + _END_SECONDS
    while (left := _started_for(folder)) and time.monotonic() < deadline:
        for pid in left:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(_LOOK_SECONDS)
    if left:
        _log.warning("%d processes of %s do not end", len(left), folder)


def _started_for(folder: Path) -> list[int]:
    """Process ids; none where there is no /proc."""
    wanted, found = f"{MARK}={folder}".encode(), []
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            marked = wanted in (place / "environ").read_bytes().split(b"\0")
            if marked and place.name != str(os.getpid()):
                found.append(int(place.name))
    return found


def main() -> None:
    """Wait until the parent process closes its end of standard input, and sweep."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    parent = os.getppid()
    sys.stdin.buffer.read()
    deadline = time.monotonic() + _END_SECONDS
    while os.getppid() == parent and time.monotonic() < deadline:
        time.sleep(_LOOK_SECONDS)  # it closes its files a moment before it is gone
    sweep(Path(sys.argv[1]))


if __name__ == "__main__":
    main()
