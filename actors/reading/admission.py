"""Questions on their way to a slot: room for their memory, its opening, and their turn.

    waiting (for room) → opening → ready (for a slot)

The caller holds the lock.
"""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import Executor
from typing import Any

from mplus_ray.actors.reading.memory_cache import Memories, View
from mplus_ray.actors.reading.request import Pending, ReadRequest
from mplus_ray.actors.reading.residency import Bytes
from mplus_ray.actors.reading.searching import SearchRun
from mplus_ray.model import MPlus
from mplus_ray.model.errors import MPlusError
from mplus_ray.model.object_store.object_store import ObjectStore

_OVERTAKINGS = 32  # after which a question that waits for room lets no later one pass


class AdmissionQueue:
    """The questions and searches that are not at work yet, and the memories of all.

    Attributes:
        ready: questions whose memory is open, in the order in which they are to be answered.
        searches: those whose memory is open.
        failed: whose memory cannot be opened, with the reason.
    """

    def __init__(
        self,
        model: MPlus,
        files: ObjectStore,
        budget: Bytes,
        changed: threading.Condition,
        pool: Executor,
    ) -> None:
        """
        Args:
            changed: the lock, notified when a memory was opened or let go of.
            pool: whose threads open memories.
        """
        self._changed = changed
        self._waiting: list[Pending] = []
        self._opening: dict[View, list[Pending]] = {}
        self.ready: deque[ReadRequest] = deque()
        self.searches: deque[SearchRun] = deque()
        self.failed: list[tuple[Pending, MPlusError]] = []
        self.memories = Memories(model, files, budget, changed, pool, self._opened)

    def __len__(self) -> int:
        opening = sum(map(len, self._opening.values()))
        return len(self._waiting) + opening + len(self.ready) + len(self.searches)

    def enter(self, question: Pending) -> None:
        self._waiting.append(question)
        self.place()

    def leave(self, question: Pending) -> None:
        """It was cancelled; if it is in line, it gives up what it held."""
        lines: list[Any] = [self._waiting, self.ready, self.searches, *self._opening.values()]
        for line in lines:
            if question in line:
                line.remove(question)
                self.release(question)
        self.place()

    def release(self, question: Pending) -> None:
        """Hold its memory no longer; others may have room now, see `place`."""
        if question.hold is not None:
            self.memories.release(question.hold)
        question.drop()
        self._changed.notify_all()

    def place(self) -> None:
        """Hold the memories of waiting questions, in their order, as far as there is room.

        Those that fit pass those that do not, but none is passed for ever.
        """
        passed: list[Pending] = []
        for question in list(self._waiting):
            hold = self.memories.admit(question.plan, question.own)
            if hold is None:
                passed.append(question)
                if question.overtaken >= _OVERTAKINGS:
                    break
                continue
            for earlier in passed:
                earlier.overtaken += 1
            self._waiting.remove(question)
            question.hold = hold
            if hold.view.value is None:
                self._opening.setdefault(hold.view, []).append(question)
            else:
                self._make_ready(question)

    def empty(self) -> list[Pending]:
        """All of them, who are in line no longer."""
        opening = [question for line in self._opening.values() for question in line]
        everybody = [*self._waiting, *opening, *self.ready, *self.searches]
        lines: list[Any] = [self._waiting, self._opening, self.ready, self.searches]
        for line in lines:
            line.clear()
        return everybody

    def _make_ready(self, question: Pending) -> None:
        if isinstance(question, SearchRun):
            self.searches.append(question)
        elif isinstance(question, ReadRequest):
            self.ready.append(question)

    def _opened(self, view: View, error: MPlusError | None) -> None:
        """A memory is open, or cannot be opened."""
        for question in self._opening.pop(view, []):
            if error is None:
                self._make_ready(question)
            else:
                self.failed.append((question, error))
        self.place()
        self._changed.notify_all()
