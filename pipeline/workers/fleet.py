"""As many writers as the backlog wants, between a minimum and a maximum.

The fleet starts and stops writers and replaces those that die; what they do they find in the
ledger themselves. So it may die as well: nothing is lost, and another fleet begins anew.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from mplus_ray.model.errors import InvalidInputError, MPlusError
from mplus_ray.pipeline.ledger.backlog import Waiting
from mplus_ray.pipeline.ledger.ledger import Ledger
from mplus_ray.pipeline.writing.write_pipeline import MAX_BATCH

_log = logging.getLogger(__name__)

_LONGEST_PAUSE = 60.0  # seconds before a writer that died while starting is started again


@dataclass(frozen=True)
class Scale:
    """How many writers there may be.

    Attributes:
        smallest, largest: writers; `smallest` may be 0.
        slots: tenants that one writer memorizes for at a time. A tenant is one writer's at a
            time, so more writers than waiting tenants are of no use.
        worth: chunks that another writer is started for.
        patience: seconds for which fewer writers must do before one is stopped.
    """

    smallest: int = 1
    largest: int = 1
    slots: int = MAX_BATCH
    worth: int = 256
    patience: float = 10.0

    def __post_init__(self) -> None:
        if not 0 <= self.smallest <= self.largest or self.largest < 1:
            raise InvalidInputError(
                f"{self.smallest}:{self.largest} writers are none; give MIN:MAX with "
                "0 <= MIN <= MAX and MAX >= 1"
            )

    def wanted(self, waiting: Sequence[Waiting]) -> int:
        """Writers for what waits, held by a writer already or not."""
        busy = [one for one in waiting if one.chunks or one.forgets]
        chunks = sum(one.chunks for one in busy)
        by_tenants = -(-len(busy) // self.slots)
        by_chunks = max(1, -(-chunks // self.worth))
        return max(self.smallest, min(self.largest, by_tenants, by_chunks))


class WorkerState(Enum):
    STARTING = "starting"
    WORKING = "working"
    STOPPING = "stopping"
    GONE = "gone"


class WriterHandle(Protocol):
    """One writer, wherever it runs. No call waits for it."""

    @property
    def name(self) -> str: ...

    @property
    def owner(self) -> str:
        """What its leases' owners begin with; "" while that is not known."""

    @property
    def fingerprint(self) -> str:
        """Of its weights; "" while that is not known."""

    def poll(self) -> WorkerState:
        """How it is. GONE is for good: it ended, or its process or node did.

        Raises:
            MPlusError: it cannot start, and no other could.
        """

    def stop(self) -> None:
        """Let it commit what it has and end."""

    def kill(self) -> None: ...

    def metrics(self) -> str:
        """What it counts, in Prometheus's text format; "" if it does not say soon."""


@dataclass
class Fleet:
    """Call `tick` about once a second.

    Args:
        start: starts a writer; it may wait for a node to come.
        fingerprint: of the writers' weights, once one has said it; memories of others are not
            this fleet's.
        deaths: writers that ended though nobody had asked them to.
        ledger: whose backlog is to be memorized.
        scale: how many writers there may be.
        clock: seconds that only grow.
        writers: those there are.
    """

    ledger: Ledger
    start: Callable[[], WriterHandle]
    scale: Scale
    fingerprint: str = ""
    clock: Callable[[], float] = time.monotonic
    writers: list[WriterHandle] = field(default_factory=list)
    deaths: int = 0
    _asked: set[str] = field(default_factory=set)  # names of writers that are to end
    _too_many_since: float | None = None
    _pause: float = 0.0
    _not_before: float = 0.0

    def tick(self) -> int:
        """Look after the writers; returns how many there are that are not stopping.

        Raises:
            MPlusError: a writer cannot start, for a reason that no other attempt would change.
        """
        states = [(writer, self._look_after(writer)) for writer in list(self.writers)]
        staying = [w for w, state in states if state in (WorkerState.STARTING, WorkerState.WORKING)]
        try:
            self.ledger.forget_expired()
            waiting = self.ledger.waiting()
        except MPlusError as error:  # the writers wait for it, too
            _log.warning("the backlog cannot be read: %s", error)
            return len(staying)
        wanted = self.scale.wanted([one for one in waiting if self._ours(one)])
        now = self.clock()
        if len(staying) <= wanted:
            self._too_many_since = None
            if now >= self._not_before:
                self.writers += [self.start() for _ in range(wanted - len(staying))]
                return wanted
        elif self._too_many_since is None:
            self._too_many_since = now
        elif now - self._too_many_since >= self.scale.patience:
            for writer in staying[wanted:]:  # the last ones came last
                _log.info("writer %s is not needed any more", writer.name)
                self._stop(writer)
            self._too_many_since = None
            return wanted
        return len(staying)

    def idle(self) -> bool:
        """Nothing waits."""
        return not any(self._ours(one) for one in self.ledger.waiting())

    def stop(self, seconds: float = 30.0, hurry: threading.Event | None = None) -> None:
        """End all writers: those that do not in time are killed; what they had is done again.

        Args:
            hurry: once it is set, no time is left.
        """
        for writer in self.writers:
            self._stop(writer)
        deadline = self.clock() + seconds
        while self.writers and self.clock() < deadline and not (hurry and hurry.is_set()):
            for writer in list(self.writers):
                self._look_after(writer)
            time.sleep(0.05)
        for writer in self.writers:
            writer.kill()
        self.writers = []

    def _ours(self, waiting: Waiting) -> bool:
        return self.fingerprint in ("", waiting.log.tenant.fingerprint)

    def _look_after(self, writer: WriterHandle) -> WorkerState:
        state = writer.poll()
        if state is WorkerState.WORKING:
            self._pause = 0.0
            self.fingerprint = self.fingerprint or writer.fingerprint
        elif state is WorkerState.GONE:
            self.writers.remove(writer)
            self._bury(writer)
        return state

    def _stop(self, writer: WriterHandle) -> None:
        self._asked.add(writer.name)
        writer.stop()

    def _bury(self, writer: WriterHandle) -> None:
        """Free the tenants of a writer that is gone; if it is not, their epochs shut it out."""
        if writer.owner:
            self._free(writer)
        if writer.name in self._asked:
            self._asked.remove(writer.name)
            return
        self.deaths += 1
        if writer.owner:
            _log.warning("writer %s ended unasked", writer.name)
            return
        self._pause = min(_LONGEST_PAUSE, max(1.0, self._pause * 2))
        self._not_before = self.clock() + self._pause
        _log.warning("writer %s ended while starting; again in %.0f s", writer.name, self._pause)

    def _free(self, writer: WriterHandle) -> None:
        try:
            freed = self.ledger.release_leases(writer.owner)
        except MPlusError as error:  # then they run out by themselves
            _log.warning("the leases of writer %s remain: %s", writer.name, error)
        else:
            if freed:
                _log.warning("writer %s ended with %d tenants in hand", writer.name, freed)
