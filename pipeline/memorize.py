"""The log to memory: what a tenant's memory lacks is memorized in order, tenants together.

Rows become durable in groups and count from the commit that names them. Interrupted at any
point, a later call goes on from the last commit: the log says what is to be done and the head
how far it is.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from actors.plans import Sealed, WritePlan, WriteRequest
from model.refs import Shard
from pipeline.chunk import Tokenizer
from pipeline.leases import Lease
from pipeline.recut import cut_chunks
from pipeline.tenant import Tenant
from pipeline.tenant_log import Chunk, TenantLog

MAX_BATCH = 8  # tenants in one forward pass
# Committed together, at most.
_GROUP_STEPS, _GROUP_SECONDS, _GROUP_BYTES = 64, 1.0, 64 << 20

OnStep = Callable[[Tenant, int], None]  # (whose, its tokens), after each step


def quiet(tenant: Tenant, tokens: int) -> None:
    """An `OnStep` for when nobody looks."""


class WriterLike(Protocol):
    """The writer here or in an actor."""

    def open(self, plan: WritePlan) -> int: ...

    def memorize(self, requests: Sequence[WriteRequest]) -> list[int]: ...

    def seal(self, tenant: str, leaving: bool = False) -> Sealed | None: ...

    def close(self, tenant: str) -> None: ...


@dataclass(frozen=True)
class Job:
    """A head that is to catch up with its log.

    Attributes:
        lease: of the tenant, held by the caller.
        plan: the head as it is.
        excluded: ids of documents that the head leaves out.
        recut: the head has chunks of its own, see `pipeline.recut`.
    """

    log: TenantLog
    lease: Lease
    plan: WritePlan
    excluded: tuple[str, ...] = ()
    recut: bool = False

    @classmethod
    def of(cls, log: TenantLog, lease: Lease, building: bool = False) -> Job:
        """For the serving head, or for the one that is being built."""
        found = log.heads.building() if building else log.heads.serving()
        assert found is not None
        head = found.head
        plan = WritePlan(
            tenant=log.tenant.id,
            head=head.id,
            epoch=lease.epoch,
            seed=log.tenant.seed,
            precision=log.tenant.precision,
            step=head.step,
            states=found.states,
        )
        return cls(log, lease, plan, head.excluded, recut=head.reason == "upgrade")

    def chunks(self, from_step: int) -> Iterator[Chunk]:
        """What is to be memorized, from a step of the head on."""
        if not self.recut:
            return self.log.chunks(from_step, excluded=self.excluded)
        cut = cut_chunks(self.log.scope, self.plan.head, from_step)
        return (Chunk(step, text) for step, text in cut)


@dataclass
class _Work:
    job: Job
    chunks: Iterator[Chunk]
    uncommitted: int = 0
    since: float = field(default_factory=time.monotonic)

    @property
    def due(self) -> bool:
        nbytes = self.uncommitted * self.job.log.tenant.bytes_per_step
        return self.uncommitted > 0 and (
            self.uncommitted >= _GROUP_STEPS
            or nbytes >= _GROUP_BYTES
            or time.monotonic() - self.since >= _GROUP_SECONDS
        )


def memorize(
    jobs: Sequence[Job],
    writer: WriterLike,
    tokenizer: Tokenizer,
    on_step: OnStep = quiet,
    max_batch: int = MAX_BATCH,
) -> int:
    """Memorize and commit every waiting step of these heads; returns the number of steps.

    Raises:
        StaleLeaseError: another writer took a tenant over; its memory is in that one's hands.
        StorageError: the storage refused; everything committed so far stands.
    """
    works = [_begin(job, writer) for job in jobs]
    waiting, steps = deque(works), 0
    try:
        while batch := _next_batch(waiting, tokenizer, max_batch, writer):
            writer.memorize([request for _, request in batch])
            for work, request in batch:
                if request.step >= work.job.plan.step:
                    steps += 1
                    work.uncommitted += 1
                    on_step(work.job.log.tenant, len(request.token_ids))
                if work.due:
                    _commit(work, writer)
    except KeyboardInterrupt:
        for work in waiting:
            _commit(work, writer, leaving=True)
        raise
    finally:
        for work in works:
            writer.close(work.job.plan.tenant)
    return steps


def remake(
    job: Job, shard: Shard, writer: WriterLike, tokenizer: Tokenizer, on_step: OnStep = quiet
) -> Shard:
    """Memorize the steps of a shard again, into a new file that no head names yet."""
    states = tuple(state for state in job.plan.states if state.step <= shard.first_step)
    plan = replace(job.plan, step=shard.first_step, states=states)
    step = writer.open(plan)
    try:
        for chunk in job.chunks(step):
            if chunk.step >= shard.end:
                break
            ids = tokenizer.encode(chunk.text)
            writer.memorize([WriteRequest(plan.tenant, chunk.step, ids)])
            on_step(job.log.tenant, len(ids))
        sealed = writer.seal(plan.tenant)
    finally:
        writer.close(plan.tenant)
    assert sealed is not None
    return sealed.shards[0]


def _begin(job: Job, writer: WriterLike) -> _Work:
    step = writer.open(job.plan)
    return _Work(job, job.chunks(step))


def _next_batch(
    waiting: deque[_Work], tokenizer: Tokenizer, size: int, writer: WriterLike
) -> list[tuple[_Work, WriteRequest]]:
    """The next step of up to `size` tenants, in turn; tenants without one leave."""
    batch: list[tuple[_Work, WriteRequest]] = []
    for _ in range(len(waiting)):
        if len(batch) == size:
            break
        work = waiting.popleft()
        chunk = next(work.chunks, None)
        if chunk is None:
            _commit(work, writer, leaving=True)
            continue
        ids = tokenizer.encode(chunk.text)
        batch.append((work, WriteRequest(work.job.plan.tenant, chunk.step, ids)))
        waiting.append(work)
    return batch


def _commit(work: _Work, writer: WriterLike, leaving: bool = False) -> None:
    """Make what a writer has of a tenant durable, and then visible."""
    sealed = writer.seal(work.job.plan.tenant, leaving)
    if sealed is not None:
        work.job.log.heads.commit(
            work.job.lease,
            sealed.head,
            step=sealed.step,
            history=sealed.history,
            shards=sealed.shards,
            states=sealed.states,
            drop_states=sealed.drop_states,
        )
    work.uncommitted, work.since = 0, time.monotonic()
