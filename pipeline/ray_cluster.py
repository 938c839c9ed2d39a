"""A Ray of one machine and one program, that leaves nothing behind."""

from __future__ import annotations

import logging
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mplus_ray.model.errors import InvalidInputError, StorageError
from mplus_ray.pipeline.ray_leftovers import (
    MARK,
    end_processes,
    own_folder,
    parent_folder,
    sweep,
    swept_afterwards,
)

_log = logging.getLogger(__name__)
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
    # It listens on loopback only, as it does on systems where it forms no clusters.
    os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    # Other users of this machine reach it there, so it takes a secret that only we have.
    if os.environ.setdefault("RAY_AUTH_MODE", "token") == "token":
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))


@contextmanager
def local_ray(
    cpus: int | None = None,
    gpus: int | None = None,
    oom_retries: int | None = None,
    watch_memory: bool = True,
) -> Iterator[Resources]:
    """Start Ray for this program alone; end it and remove its files on leaving, however that
    comes. What an earlier program left that was killed is removed before.

    Args:
        cpus, gpus: that its tasks may use together; None: those of the machine.
        oom_retries: how often a task begins again that Ray ended for want of memory; None: as
            often as Ray likes.
        watch_memory: end tasks and actors when the machine's memory is nearly used up, by
            whatever program.

    Raises:
        StorageError: it does not start.
    """
    set_environment()
    import ray  # it reads its environment when it is imported
    import ray._private.worker as driver

    settings = {"worker_niceness": 0}  # by default all other programs go first
    if oom_retries is not None:
        settings["task_oom_retries"] = oom_retries
    if not watch_memory:
        settings["memory_monitor_refresh_ms"] = 0
    parent = parent_folder()
    for left in sweep(parent):
        _log.warning("swept %s, which a program left that was killed", left)
    with swept_afterwards(parent), own_folder("mplus-ray-", parent) as folder, _quiet(driver):
        os.environ[MARK] = str(folder)
        try:
            _start(ray, cpus, gpus, folder, settings)
            found = ray.cluster_resources()
            yield Resources(cpus=int(found["CPU"]), gpus=int(found.get("GPU", 0)))
        finally:
            del os.environ[MARK]
            ray.shutdown()
            end_processes(folder)  # what `ray.shutdown` does not know, of a start that broke off


def _start(
    ray: Any, cpus: int | None, gpus: int | None, folder: Path, settings: dict[str, int]
) -> None:
    """Start Ray where only this user sees its files.

    Raises:
        StorageError: it does not start.
    """
    try:
        ray.init(
            address="local",
            num_cpus=cpus,
            num_gpus=gpus,
            include_dashboard=False,
            object_store_memory=OBJECT_STORE_BYTES,
            log_to_driver=False,
            logging_level=logging.ERROR,
            _temp_dir=str(folder / "r"),  # which Ray opens to everybody, but not what is above
            _system_config=settings,
        )
    except Exception as error:  # Ray raises it bare
        reason = str(error).strip().partition("\n")[0]
        raise StorageError(
            f"Ray does not start on this machine: {reason} Where the machine is busy or short of "
            "memory, wait and start again"
        ) from error


@contextmanager
def _quiet(driver: Any) -> Iterator[None]:
    """Ray writes to standard output when a worker dies, whatever it is told, and a command's
    result goes there."""
    printing, driver._worker_logs_enabled = driver._worker_logs_enabled, False
    try:
        yield
    finally:
        driver._worker_logs_enabled = printing


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
