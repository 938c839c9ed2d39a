"""The log to memory: what a tenant's memory lacks is memorized in order, tenants together.

Rows become durable in groups and count from the commit that names them. Interrupted at any
point, a later call goes on from the last commit: the log says what is to be done and the head
how far it is.
"""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from mplus_ray.actors.plans import WriteRequest
from mplus_ray.model.errors import MPlusError
from mplus_ray.pipeline.chunking.tokenizer import Tokenizer
from mplus_ray.pipeline.writing.committer import CommitTask, Committer, Written
from mplus_ray.pipeline.writing.observer import Batch, Commit, Observer, Unobserved
from mplus_ray.pipeline.writing.read_ahead import ReadAhead, Ready
from mplus_ray.pipeline.writing.write_job import (
    Ended,
    OnStep,
    WriteJob,
    WriterLike,
    quiet,
)

MAX_BATCH = 8  # tenants in one forward pass
# Committed together, at most.
_GROUP_STEPS, _GROUP_SECONDS, _GROUP_BYTES = 64, 1.0, 64 << 20


@dataclass
class _Work:
    """A job on its way.

    Attributes:
        chunks: what it still has to memorize.
        head: steps that are committed.
        commits: those under way, the oldest first.
        uncommitted, since: steps that no commit has yet, and from when on.
        visit: steps since the job came.
        uncounted: (step, tokens) of what no commit has been told of.
    """

    job: WriteJob
    chunks: ReadAhead
    head: int
    commits: deque[CommitTask] = field(default_factory=deque)
    uncommitted: int = 0
    since: float = field(default_factory=time.monotonic)
    visit: int = 0
    uncounted: deque[tuple[int, int]] = field(default_factory=deque)

    @property
    def nbytes(self) -> int:
        """Of the rows that are not committed."""
        return self.uncommitted * self.job.log.tenant.bytes_per_step

    @property
    def due(self) -> bool:
        return self.uncommitted > 0 and (
            self.uncommitted >= _GROUP_STEPS
            or self.nbytes >= _GROUP_BYTES
            or time.monotonic() - self.since >= _GROUP_SECONDS
        )


class WritePipeline:
    """Jobs on their way: one thread reads and tokenizes ahead of the forward pass, which runs in
    the caller's, and one behind it writes files and commits.

    A job has one chunk at most in a pass, so it goes in order; results do not depend on who
    shares the pass. Bounded on both sides: a slow disk makes the forward pass wait.

    Args:
        room: jobs in one pass.
        on_step: called after each new step, in the caller's thread.
        release: the last commit of a job gives its lease back.
    """

    def __init__(
        self,
        writer: WriterLike,
        tokenizer: Tokenizer,
        on_step: OnStep = quiet,
        room: int = MAX_BATCH,
        observer: Observer | None = None,
        release: bool = False,
    ) -> None:
        self._writer = writer
        self._tokenizer = tokenizer
        self._on_step = on_step
        self._room = room
        self._observer = observer or Unobserved()
        self._works: deque[_Work] = deque()
        self._leaving: list[_Work] = []
        self._broken: list[Ended] = []
        self._release = release
        self._before = ThreadPoolExecutor(1, "tokenize")
        self._committer = Committer()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing goes on after it; what is under way is finished first."""
        self._before.shutdown(cancel_futures=True)
        self._committer.close()
        for work in [*self._works, *self._leaving]:
            self._writer.close(work.job.plan.tenant)
        self._works.clear()
        self._leaving.clear()

    def __len__(self) -> int:
        """Jobs that it has, also those whose last commit is under way."""
        return len(self._works) + len(self._leaving)

    def add(self, job: WriteJob) -> None:
        """Take a job, the only one of its tenant here."""
        step = self._writer.open(job.plan)
        chunks = ReadAhead(job.chunks(step), self._tokenizer, self._before)
        self._works.append(_Work(job, chunks, head=job.plan.step))

    @property
    def active(self) -> int:
        """Jobs that take part in passes."""
        return len(self._works)

    def visit(self, tenant: str) -> int:
        """Steps of a tenant (its id) since its job was added."""
        return next((w.visit for w in self._works if w.job.plan.tenant == tenant), 0)

    def dismiss(self, tenant: str, leaving: bool = False) -> None:
        """Let a tenant's job end after a last commit, wherever it is."""
        for work in self._works:
            if work.job.plan.tenant == tenant:
                self._works.remove(work)
                self._end(work, leaving)
                return

    def step(self) -> list[Ended]:
        """One forward pass with the next chunk of up to `room` jobs, in turn.

        Returns the jobs that have left since: a job does at the end of its log, or by an error.
        Waits only where there is nothing else to do.
        """
        ended = self._failed()
        began = time.monotonic()
        batch = self._next_batch()
        if batch:
            requests = [
                WriteRequest(work.job.plan.tenant, chunk.step, ids) for work, (chunk, ids) in batch
            ]
            waited = time.monotonic() - began
            began = time.monotonic()
            self._writer.memorize(requests)
            self._observer.batched(
                Batch(
                    tenants=len(batch),
                    room=self._room,
                    tokens=sum(len(request.token_ids) for request in requests),
                    waited=waited,
                    forward=time.monotonic() - began,
                )
            )
            for work, request in zip((work for work, _ in batch), requests, strict=True):
                self._count(work, request)
                if work.chunks.is_through:  # its place is free at once
                    self._works.remove(work)
                    self._end(work, leaving=True)
        elif self._leaving:
            with suppress(MPlusError):
                self._leaving[0].commits[-1].done.result()
        ended += self._broken
        self._broken = []
        return ended + self._left()

    def finish(self) -> list[Ended]:
        """Commit what every job has, and let them all go."""
        for work in list(self._works):
            self.dismiss(work.job.plan.tenant, leaving=True)
        ended = []
        while self._leaving:
            ended += self.step()
        return ended

    def _next_batch(self) -> list[tuple[_Work, Ready]]:
        batch: list[tuple[_Work, Ready]] = []
        for _ in range(len(self._works)):
            if len(batch) == self._room:
                break
            work = self._works.popleft()
            try:
                ready = work.chunks.next()
            except MPlusError as error:
                self._broken.append(self._close(work, error))
                continue
            if ready is None:
                self._end(work, leaving=True)
            else:
                batch.append((work, ready))
                self._works.append(work)
        return batch

    def _count(self, work: _Work, request: WriteRequest) -> None:
        work.visit += 1
        if request.step >= work.job.plan.step:
            work.uncommitted += 1
            work.uncounted.append((request.step, len(request.token_ids)))
            self._on_step(work.job.log.tenant, len(request.token_ids))
        if work.due:
            self._commit(work)

    def _end(self, work: _Work, leaving: bool) -> None:
        self._commit(work, leaving, last=True)
        self._leaving.append(work)

    def _commit(self, work: _Work, leaving: bool = False, last: bool = False) -> None:
        """Make what a tenant has durable and then visible, behind the forward pass."""
        task = CommitTask(
            work.job,
            self._writer.seal_later(work.job.plan.tenant, leaving),
            work.nbytes,
            release=last and self._release,
            on_commit=lambda written: self._note(work, written),
            after=work.commits[-1] if work.commits else None,
        )
        work.commits.append(task)
        work.uncommitted, work.since = 0, time.monotonic()
        self._committer.add(task)

    def _note(self, work: _Work, written: Written) -> None:
        sealed = written.sealed
        steps, work.head = sealed.step - work.head, sealed.step
        tokens = 0
        while work.uncounted and work.uncounted[0][0] < sealed.step:
            tokens += work.uncounted.popleft()[1]
        self._observer.committed(
            Commit(
                tenant=work.job.plan.tenant,
                step=sealed.step,
                steps=steps,
                tokens=tokens,
                seal=written.seal,
                ledger=written.ledger,
                delays=written.committed.delays,
            )
        )

    def _failed(self) -> list[Ended]:
        """Jobs whose commits went wrong; their rows are to be memorized again."""
        ended = []
        for work in list(self._works):
            while work.commits and work.commits[0].done.done():
                error = work.commits[0].done.exception()
                if error is not None:
                    self._works.remove(work)
                    ended.append(self._close(work, error))
                    break
                work.commits.popleft()
        return ended

    def _left(self) -> list[Ended]:
        done = [work for work in self._leaving if work.commits[-1].done.done()]
        self._leaving = [work for work in self._leaving if work not in done]
        return [self._close(work, work.commits[-1].done.exception()) for work in done]

    def _close(self, work: _Work, error: BaseException | None) -> Ended:
        self._writer.close(work.job.plan.tenant)
        if error is not None and not isinstance(error, MPlusError):
            raise error
        released = error is None and work.commits[-1].released
        work.commits.clear()  # each of them knows the work
        return Ended(work.job, work.head - work.job.plan.step, error, released)
