"""A writer that stops in the middle of its work, and wakes up when others have gone on.

`python -m tests.stalling CHECKPOINT URL STORE POINT` works on the tenant "anna" and prints the
name of the error that ended it.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import mplus_ray.pipeline.writing.engine
from mplus_ray.actors.writer import Writer
from mplus_ray.model.errors import MPlusError
from mplus_ray.model.object_store.object_store import ObjectStore
from mplus_ray.pipeline.workers.catch_up import catch_up
from tests.worlds import load_model, many_files, merge_all, opened

POINTS = ("memorized", "written", "deleting")


def _stop() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)
    time.sleep(0.1)  # this thread may run on for a moment


def _stop_once(owner: type, name: str, before: bool) -> None:
    """Stop before or after the first call of a method."""
    original = getattr(owner, name)

    def stopping(*args: Any, **more: Any) -> Any:
        setattr(owner, name, original)
        if before:
            _stop()
        result = original(*args, **more)
        if not before:
            _stop()
        return result

    setattr(owner, name, stopping)


def main(checkpoint: str, url: str, store: str, point: str) -> None:
    many_files()
    mplus_ray.pipeline.writing.engine.LEASE_SECONDS = 0.2
    if point == "memorized":
        _stop_once(Writer, "_write_shard", before=True)
    if point == "written":
        _stop_once(ObjectStore, "put", before=False)
    if point == "deleting":
        _stop_once(ObjectStore, "delete", before=True)
    with opened(load_model(Path(checkpoint)), url, Path(store)) as world:
        log = world.ledger.tenant("anna")
        try:
            if point == "deleting":
                merge_all(world, log)
            else:
                catch_up(world.engine, [log])
        except MPlusError as error:
            print(type(error).__name__)
        else:
            print("nothing")


if __name__ == "__main__":
    main(*sys.argv[1:])
