"""FAISS lists that follow a growing memory, in a thread of their own.

Learned from the first tiles once there are `start` of them, and again whenever there are four
times as many, so that the work is in proportion to the rows: what a memory's lists are learned
from follows from its size alone, not from when somebody looked.
"""

from __future__ import annotations

import atexit
import threading
import weakref
from collections.abc import Sequence

from mplus_ray.model.index.faiss_lists import Lists, load_faiss
from mplus_ray.model.index.int8_tiles import Tile

_AGAIN = 4


class GrowingLists:
    """Shared by all stores of one history."""

    def __init__(self, start: int) -> None:
        """
        Args:
            start: tiles from which on there are lists.
        """
        self.start = start
        self._lock = threading.Lock()
        self._wanted: list[Tile] = []
        self._lists: Lists | None = None
        self._next: Lists | None = None  # to take their place when it has as many tiles
        self._worker: threading.Thread | None = None

    @property
    def nbytes(self) -> int:
        return sum(lists.nbytes for lists in (self._lists, self._next) if lists is not None)

    def feed(self, tiles: Sequence[Tile]) -> bool:
        """Have these tiles in the lists some day; False if others came in their place.

        Raises:
            MPlusError: FAISS is needed now, and is not installed.
        """
        with self._lock:
            common = min(len(tiles), len(self._wanted))
            if common and tiles[common - 1] is not self._wanted[common - 1]:
                return False
            if len(tiles) > common:
                self._wanted = list(tiles)
            if self._worker is None and self._behind():
                load_faiss()
                work = threading.Thread(target=_work, args=(weakref.ref(self),), daemon=True)
                self._worker = work
                _workers.add(work)
                work.start()
            return True

    def common(self, tiles: Sequence[Tile]) -> tuple[Lists | None, int]:
        """Lists, and how many of a history's tiles they have."""
        with self._lock:
            lists = self._lists
            return lists, min(lists.count, len(tiles)) if lists is not None else 0

    def join(self) -> None:
        """Wait until the lists have all tiles."""
        worker = self._worker
        if worker is not None:
            worker.join()

    def _behind(self) -> bool:
        if len(self._wanted) < self.start:
            return False
        lists = self._lists
        return (
            lists is None
            or lists.count < len(self._wanted)
            or lists.trained != self._learned_from()
        )

    def _learned_from(self) -> int:
        """Tiles that lists of this size are learned from."""
        tiles = self.start
        while tiles * _AGAIN <= len(self._wanted):
            tiles *= _AGAIN
        return tiles

    def step(self) -> bool:
        """A part of the work; False if there is none."""
        with self._lock:
            if not self._behind():
                self._worker = None
                return False
            wanted, learned = self._wanted, self._learned_from()
        growing = self._next or self._lists
        if growing is None or growing.trained != learned:
            self._next = Lists(wanted[:learned])
        elif not growing.learn(wanted):
            if growing.count < len(wanted):
                growing.add(wanted[growing.count])
            else:
                with self._lock:
                    self._lists, self._next = growing, None
        return True


def _work(reference: weakref.ref[GrowingLists]) -> None:
    """Grow as long as somebody has the lists."""
    while not _stopping.is_set() and (growing := reference()) is not None and growing.step():
        del growing


# A thread that is inside FAISS when the interpreter goes away takes the process down with it.
_stopping = threading.Event()
_workers: weakref.WeakSet[threading.Thread] = weakref.WeakSet()


@atexit.register
def _stop() -> None:
    _stopping.set()
    for worker in list(_workers):
        worker.join()
