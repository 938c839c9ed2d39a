"""What one process writes to a file, on the standard error of another."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_EVERY_SECONDS = 0.5


@contextmanager
def following(path: Path) -> Iterator[None]:
    """Show what is added to the file while it lasts."""
    shown = path.stat().st_size if path.exists() else 0
    ended = threading.Event()

    def follow() -> None:
        at = shown
        while True:
            last = ended.wait(_EVERY_SECONDS)
            if path.exists():
                with path.open("rb") as file:
                    file.seek(at)
                    new = file.read()
                at += len(new)
                sys.stderr.write(new.decode(errors="replace"))
                sys.stderr.flush()
            if last:
                return

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
