"""A folder that is watched: new and changed files are taken as they come."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from mplus_ray.pipeline.sources.files import in_folder, local_file
from mplus_ray.pipeline.sources.source import Idle, Item, Quiet, Until

_POLL_SECONDS = 1.0

Seen = tuple[int, int]  # size in bytes, time of the last change in nanoseconds


class Folder:
    """The files of a folder, each when it has not changed between two looks.

    A file that changes later is taken again, as a new version of its document. A file that goes
    leaves its document as it is.
    """

    endless = True

    def __init__(
        self, folder: Path, until: Until, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._folder = folder.resolve()
        self._until = until
        self._clock = clock

    def __iter__(self) -> Iterator[Item]:
        quiet = Quiet(self._until, self._clock)
        taken: dict[Path, Seen] = {}
        before: dict[Path, Seen] = {}
        while not quiet.over:
            now = self._look()
            if now != before:
                quiet.reset()  # also while a file still grows
            for path, seen in now.items():
                if seen == before.get(path) and seen != taken.get(path):
                    for item in local_file(path).items():
                        if self._until.stop.is_set():
                            return
                        yield item
                    taken[path] = seen
                    quiet.reset()
            taken = {path: seen for path, seen in taken.items() if path in now}
            before = now
            with quiet.not_counting():
                yield Idle()
            self._until.stop.wait(_POLL_SECONDS)

    def _look(self) -> dict[Path, Seen]:
        found = {}
        for path in in_folder(self._folder):
            with suppress(OSError):  # it went meanwhile
                stat = path.stat()
                found[path] = (stat.st_size, stat.st_mtime_ns)
        return found
