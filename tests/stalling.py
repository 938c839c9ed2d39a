"""A writer that stops in the middle of its work, and wakes up when others have gone on.

`python -m tests.stalling CHECKPOINT URL STORE POINT` works on the tenant "anna" and prints the
name of the error that ended it.
"""

from __future__ import annotations

import os
import signal
import sys
from itertools import count
from pathlib import Path
from typing import Any

import pipeline.engine
from model.errors import MPlusError
from model.files import Files
from pipeline.catch_up import catch_up
from pipeline.memorize import OnStep, quiet
from tests.worlds import load_model, many_files, merge_all, opened

POINTS = ("memorized", "written", "deleting")


def _stop() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def _stop_at_third_step() -> OnStep:
    steps = count(1)

    def on_step(*_: object) -> None:
        if next(steps) == 3:
            _stop()

    return on_step


def _stop_once(name: str, before: bool) -> None:
    """Stop before or after the first call of a method of the files."""
    original = getattr(Files, name)

    def stopping(*args: Any) -> None:
        setattr(Files, name, original)
        if before:
            _stop()
        original(*args)
        if not before:
            _stop()

    setattr(Files, name, stopping)


def main(checkpoint: str, url: str, store: str, point: str) -> None:
    many_files()
    pipeline.engine.LEASE_SECONDS = 0.2
    if point == "written":
        _stop_once("put", before=False)
    if point == "deleting":
        _stop_once("delete", before=True)
    with opened(load_model(Path(checkpoint)), url, Path(store)) as world:
        log = world.ledger.tenant("anna")
        try:
            if point == "deleting":
                merge_all(world, log)
            else:
                catch_up(
                    world.engine, [log], _stop_at_third_step() if point == "memorized" else quiet
                )
        except MPlusError as error:
            print(type(error).__name__)
        else:
            print("nothing")


if __name__ == "__main__":
    main(*sys.argv[1:])
