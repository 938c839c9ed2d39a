"""Searches at work: their memories are open, and threads of their own carry them out."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from mplus_ray.actors.reading.admission import AdmissionQueue
from mplus_ray.actors.reading.searching import SearchRun
from mplus_ray.model import MPlus
from mplus_ray.model.errors import MPlusError

_THREADS = 2


class SearchThreads:
    """Takes searches from the admission queue; they decode nothing and take no slot."""

    def __init__(
        self,
        model: MPlus,
        queue: AdmissionQueue,
        changed: threading.Condition,
        counts: dict[str, int],
    ) -> None:
        """
        Args:
            changed: the reader's lock, notified when a search has failed.
            counts: the reader's, with what is `answered` and `prompt_tokens`.
        """
        self._model = model
        self._queue = queue
        self._changed = changed
        self._counts = counts
        self._at_work: list[SearchRun] = []
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="searching")

    def __len__(self) -> int:
        return len(self._at_work)

    def start(self) -> None:
        """Begin those whose memory is open; the caller holds the lock."""
        while self._queue.searches:
            run = self._queue.searches.popleft()
            self._at_work.append(run)
            self._threads.submit(self._search, run)

    def empty(self) -> list[SearchRun]:
        """All that are at work; what they find is told nobody. The caller holds the lock."""
        left, self._at_work = self._at_work, []
        return left

    def shutdown(self) -> None:
        """Wait for those that have begun, and end the threads."""
        self._threads.shutdown(cancel_futures=True)

    def _search(self, run: SearchRun) -> None:
        result = run.found(self._model) if run.handle.open else None
        with self._changed:
            if run not in self._at_work:  # all were told to stop
                return
            self._at_work.remove(run)
            if isinstance(result, MPlusError):
                self._queue.failed.append((run, result))  # told by the thread that decodes
                self._changed.notify_all()
                return
            self._counts["prompt_tokens"] += len(run.prompt)
            self._counts["answered"] += run.handle.open
            self._queue.release(run)
            self._queue.place()
        if result is not None:
            run.handle.tell(result)
