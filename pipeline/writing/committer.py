"""Behind the forward pass: what was memorized goes to files, their names into the ledger.

What waits for it at one time shares a transaction, so it groups
more the slower the ledger is, and delays nobody whom nothing is before.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field

from mplus_ray.actors.plans import Sealed
from mplus_ray.model.errors import (
    InvalidInputError,
    MPlusError,
    StaleLeaseError,
    TenantNotFoundError,
)
from mplus_ray.pipeline.ledger.heads.commit import Advance, commit_together
from mplus_ray.pipeline.ledger.heads.head import Committed
from mplus_ray.pipeline.writing.write_job import WriteJob

# Under way at a time; more, and the forward pass waits. The last one may go beyond the bytes.
_MOST, _MOST_BYTES = 32, 256 << 20
_OF_ONE = (StaleLeaseError, TenantNotFoundError, InvalidInputError)  # one tenant's affair
_FILES_AT_ONCE = 4  # writing a file is mostly waiting, for the disk or for the network


@dataclass(frozen=True)
class Written:
    """What was committed of a tenant.

    Attributes:
        seal, ledger: seconds that its files took, and its share of the transaction.
        sealed: the files.
        committed: the head that names them.
    """

    sealed: Sealed
    committed: Committed
    seal: float
    ledger: float


@dataclass(eq=False)
class CommitTask:
    """A tenant's files that are to be written and committed.

    Attributes:
        write: does the first half, once; what it returns is None if there is nothing to commit.
        nbytes: of the rows that wait with it.
        release: the tenant is given back with this commit.
        on_commit: called after it, in the committer's thread.
        after: the tenant's task before this one; if that failed, this one does.
        done: whether it was committed, or what ended it.
        job: whose files they are.
        sealed: the files, once they are written.
        seconds: that writing them took.
    """

    job: WriteJob
    write: Callable[[], Sealed | None] | None
    nbytes: int
    release: bool
    on_commit: Callable[[Written], None]
    after: CommitTask | None = None
    done: Future[bool] = field(default_factory=Future)
    sealed: Sealed | None = None
    seconds: float = 0.0

    def seal(self) -> None:
        """Do the first half, and let go of the rows, however long somebody keeps the task."""
        write, self.write = self.write, None
        assert write is not None
        self.sealed = write()

    @property
    def released(self) -> bool:
        """Whether the tenant was given back with it."""
        return self.release and self.done.result()


class Committer:
    """Takes tasks in the order in which they come, those of a tenant one after the other."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[CommitTask] = deque()
        self._running: deque[CommitTask] = deque()  # of the caller's thread only
        self._files = ThreadPoolExecutor(_FILES_AT_ONCE, "seal")
        self._thread = ThreadPoolExecutor(1, "commit")

    def close(self) -> None:
        """What is under way is finished, and nothing follows."""
        self._thread.shutdown()
        self._files.shutdown()

    def add(self, task: CommitTask) -> None:
        """Take a task, once there is room for it."""
        while self._is_full():
            with suppress(MPlusError):
                self._running.popleft().done.result()
        self._running.append(task)
        with self._lock:
            self._waiting.append(task)
        self._thread.submit(self._work)

    def _is_full(self) -> bool:
        while self._running and self._running[0].done.done():
            self._running.popleft()
        nbytes = sum(task.nbytes for task in self._running)
        return len(self._running) >= _MOST or nbytes >= _MOST_BYTES

    def _work(self) -> None:
        """All that waits, together."""
        with self._lock:
            tasks = list(self._waiting)
            self._waiting.clear()
        try:
            by_tenant: dict[str, list[CommitTask]] = {}
            for task in tasks:
                by_tenant.setdefault(task.job.plan.tenant, []).append(task)
            list(self._files.map(_write, by_tenant.values()))
            _commit([task for task in tasks if task.sealed is not None])
        except BaseException as error:  # noqa: BLE001 - raised where the task is asked for
            _fail(tasks, error)


def _write(tasks: Sequence[CommitTask]) -> None:
    """The files of one tenant."""
    for task in tasks:
        began = time.monotonic()
        try:
            _check(task)
            task.seal()
        except MPlusError as error:
            task.done.set_exception(error)
        else:
            task.seconds = time.monotonic() - began
            if task.sealed is None:
                task.done.set_result(False)


def _commit(tasks: Sequence[CommitTask]) -> None:
    """In one transaction; if one of several cannot be committed, each in one of its own."""
    try:
        for task in tasks:
            _check(task)
        began = time.monotonic()
        found = commit_together([_advance(task) for task in tasks]) if tasks else []
        seconds = time.monotonic() - began
    except MPlusError as error:
        # What a ledger that failed has kept is not known; those who come back find out.
        if len(tasks) == 1 or not isinstance(error, _OF_ONE):
            _fail(tasks, error)
            return
        for task in tasks:
            _commit([task])
        return
    for task, committed in zip(tasks, found, strict=True):
        assert task.sealed is not None
        task.on_commit(Written(task.sealed, committed, task.seconds, seconds / len(tasks)))
        task.done.set_result(True)


def _check(task: CommitTask) -> None:
    """After a failed commit nothing of the job can be committed."""
    before = task.after
    if before is not None and before.done.done():
        before.done.result()
        task.after = None


def _advance(task: CommitTask) -> Advance:
    sealed, job = task.sealed, task.job
    assert sealed is not None
    return Advance(
        job.log.scope,
        job.lease,
        sealed.head,
        sealed.step,
        sealed.history,
        sealed.shards,
        sealed.states,
        sealed.drop_states,
        release=task.release,
    )


def _fail(tasks: Sequence[CommitTask], error: BaseException) -> None:
    for task in tasks:
        if not task.done.done():
            task.done.set_exception(error)
