"""A Ray of one machine and one program, that leaves nothing behind."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Resources:
    """What this Ray may use."""

    cpus: int
    gpus: int


@contextmanager
def local_ray() -> Iterator[Resources]:
    """Start Ray for this program alone; end it and remove its files on leaving."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anybody
    # Ray listens on every interface, so it takes a secret that only this program's processes have.
    if os.environ.setdefault("RAY_AUTH_MODE", "token") == "token":
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    import ray

    # Ray's socket paths must stay below 108 characters, so not in a deep temporary directory.
    folder = Path(tempfile.mkdtemp(prefix="mplus-ray-", dir=os.environ.get("RAY_TMPDIR", "/tmp")))
    try:
        ray.init(
            address="local",
            include_dashboard=False,
            object_store_memory=256 * 2**20,  # only messages pass through it
            log_to_driver=False,
            logging_level=logging.ERROR,
            _temp_dir=str(folder),
        )
        found = ray.cluster_resources()
        yield Resources(cpus=int(found["CPU"]), gpus=int(found.get("GPU", 0)))
    finally:
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)
