"""A folder that is watched: new and changed files are taken as they come."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from mplus_ray.pipeline.parsing.formats.pdf.ocr import Ocr
from mplus_ray.pipeline.parsing.refusals import Refusals
from mplus_ray.pipeline.sources.files import in_folder, local_file
from mplus_ray.pipeline.sources.source import (
    Finished,
    Idle,
    Incoming,
    Item,
    Present,
    Quiet,
    Rows,
    Until,
)

_POLL_SECONDS = 1.0

Seen = tuple[int, int]  # size in bytes, time of the last change in nanoseconds


class Folder:
    """The files of a folder, each when it has not changed between two looks.

    A file that changes later is taken again, as a new version of its document. A file that goes,
    or a row of one, leaves its document as it is, unless the folder is to be mirrored.

    Attributes:
        left_out: what was seen at the last look and is not read.
    """

    endless = True

    def __init__(
        self,
        folder: Path,
        until: Until,
        clock: Callable[[], float] = time.monotonic,
        *,
        sync: bool = False,
        ocr: Ocr | None = None,
    ) -> None:
        """
        Args:
            sync: say which files there are, so that documents of others can be forgotten.
            ocr: reads pages that are pictures; None: they are refused.
        """
        self._folder = folder.resolve()
        self._until = until
        self._clock = clock
        self._sync = sync
        self._ocr = ocr
        self._whole = False
        self.left_out = Refusals()

    def __iter__(self) -> Iterator[Item]:
        quiet = Quiet(self._until, self._clock)
        taken: dict[Path, Seen] = {}
        before: dict[Path, Seen] = {}
        told: frozenset[str] | None = None
        looks = 0
        while not quiet.over:
            now = self._look()
            looks += 1
            if now != before:
                quiet.reset()  # also while a file still grows
            for path, seen in now.items():
                if seen == before.get(path) and seen != taken.get(path):
                    for item in self._documents(path):
                        if self._until.stop.is_set():
                            return
                        yield item
                    taken[path] = seen
                    quiet.reset()
            # A file that is replaced is gone for a moment, so two looks have to lack it.
            present = frozenset(str(path) for path in now.keys() | before.keys())
            if self._sync and self._whole and looks > 1 and present != told:
                yield Present(str(self._folder), present)
                told = present
            taken = {path: seen for path, seen in taken.items() if path in now}
            before = now
            with quiet.not_counting():
                yield Idle()
            self._until.stop.wait(_POLL_SECONDS)

    def _documents(self, path: Path) -> Iterator[Item]:
        """What is in a file; read to its end, it says which documents it has."""
        keys: set[int] = set()
        for item in local_file(path, ocr=self._ocr).items():
            yield item
            if self._sync and isinstance(item, Incoming):
                keys.add(hash(item.key or item.source))
            elif self._sync and isinstance(item, Finished):
                yield Rows(item.source, keys)

    def _look(self) -> dict[Path, Seen]:
        found = {}
        inside = in_folder(self._folder)
        # A folder that cannot be looked into says nothing about what is gone.
        self._whole = inside.whole and self._folder.is_dir()
        self.left_out = inside.left_out
        for path in inside.files:
            with suppress(OSError):  # it went meanwhile
                stat = path.stat()
                found[path] = (stat.st_size, stat.st_mtime_ns)
        return found
