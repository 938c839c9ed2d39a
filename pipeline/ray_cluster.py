"""A Ray of one machine and one program, that leaves nothing behind."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mplus_ray.model.errors import InvalidInputError

if TYPE_CHECKING:
    pass

OBJECT_STORE_BYTES = 256 * 2**20  # only messages pass through it


@dataclass(frozen=True)
class Resources:
    """What this Ray may use.

    Attributes:
        cpus, gpus: how many.
    """

    cpus: int
    gpus: int


def set_environment() -> None:
    """What a Ray of this program alone goes by; for who imports Ray before `local_ray` does."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anybody
    # Ray listens on every interface, so it takes a secret that only this program's processes have.
    if os.environ.setdefault("RAY_AUTH_MODE", "token") == "token":
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))


@contextmanager
def local_ray(
    cpus: int | None = None,
    gpus: int | None = None,
    oom_retries: int | None = None,
    watch_memory: bool = True,
) -> Iterator[Resources]:
    """Start Ray for this program alone; end it and remove its files on leaving.

    Args:
        cpus, gpus: that its tasks may use together; None: those of the machine.
        oom_retries: how often a task begins again that Ray ended for want of memory; None: as
            often as Ray likes.
        watch_memory: end tasks and actors when the machine's memory is nearly used up, by
            whatever program.
    """
    set_environment()
    import ray  # it reads its environment when it is imported
    import ray._private.worker as driver

    # Ray's socket paths must stay below 108 characters, so not in a deep temporary directory.
    folder = Path(tempfile.mkdtemp(prefix="mplus-ray-", dir=os.environ.get("RAY_TMPDIR", "/tmp")))
    settings = {"worker_niceness": 0}  # by default all other programs go first
    if oom_retries is not None:
        settings["task_oom_retries"] = oom_retries
    if not watch_memory:
        settings["memory_monitor_refresh_ms"] = 0
    # Ray writes to standard output when a worker dies, whatever it is told, and a command's
    # result goes there.
    printing, driver._worker_logs_enabled = driver._worker_logs_enabled, False
    try:
        ray.init(
            address="local",
            num_cpus=cpus,
            num_gpus=gpus,
            include_dashboard=False,
            object_store_memory=OBJECT_STORE_BYTES,
            log_to_driver=False,
            logging_level=logging.ERROR,
            _temp_dir=str(folder),
            _system_config=settings,
        )
        found = ray.cluster_resources()
        yield Resources(cpus=int(found["CPU"]), gpus=int(found.get("GPU", 0)))
    finally:
        ray.shutdown()
        driver._worker_logs_enabled = printing
        _kill_children(folder)
        shutil.rmtree(folder, ignore_errors=True)


def _kill_children(folder: Path) -> None:
    """End what `ray.shutdown` does not know: processes of a start that was interrupted."""
    mine = str(os.getpid())
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parent = (place / "stat").read_text().rpartition(")")[2].split()[1]
            if parent == mine and os.fsencode(folder) in (place / "cmdline").read_bytes():
                os.kill(int(place.name), signal.SIGKILL)


@contextmanager
def ray_at(address: str | None) -> Iterator[None]:
    """A connection to a running cluster, or a Ray of this machine for the time."""
    if address is None:
        with local_ray():
            yield
        return
    _check_listens(address)
    import ray

    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError) as error:
        raise InvalidInputError(
            f"there is no Ray cluster at {address}: {error}; start one, or leave --ray-address out"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def _check_listens(address: str) -> None:
    """Ray itself would try for minutes.

    Raises:
        InvalidInputError: nobody listens at host:port.
    """
    host, found, port = address.rpartition(":")
    if not found or not port.isdecimal():  # "auto", and what else Ray understands
        return
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except (OSError, OverflowError) as error:
        raise InvalidInputError(
            f"there is no Ray cluster at {address}: {error}; start one, or leave --ray-address out"
        ) from error
