"""A head that is to catch up with its log, and who does it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from mplus_ray.actors.plans import Sealed, WritePlan, WriteRequest
from mplus_ray.model.errors import MPlusError
from mplus_ray.model.store.file_refs import Shard, State
from mplus_ray.pipeline.chunking.headers import with_header
from mplus_ray.pipeline.chunking.tokenizer import Tokenizer
from mplus_ray.pipeline.ledger.documents.chunks import Chunk
from mplus_ray.pipeline.ledger.heads.head import Head
from mplus_ray.pipeline.ledger.heads.leases import Lease
from mplus_ray.pipeline.ledger.heads.rechunk import rechunked, rechunked_length
from mplus_ray.pipeline.ledger.tenant import Tenant
from mplus_ray.pipeline.ledger.tenant_log import TenantLog

OnStep = Callable[[Tenant, int], None]  # (whose, its tokens), after each step
OnTotal = Callable[[Tenant, int], None]  # (whose, steps it lacks), before the first of them


def quiet(tenant: Tenant, count: int) -> None:
    """An `OnStep` and an `OnTotal` for when nobody looks."""


class WriterLike(Protocol):
    """The writer here or in an actor."""

    def open(self, plan: WritePlan) -> int: ...

    def memorize(self, requests: Sequence[WriteRequest]) -> list[int]: ...

    def seal(self, tenant: str, leaving: bool = False) -> Sealed | None: ...

    def seal_later(self, tenant: str, leaving: bool = False) -> Callable[[], Sealed | None]: ...

    def close(self, tenant: str) -> None: ...


@dataclass(frozen=True)
class WriteJob:
    """A head that is to catch up with its log.

    Attributes:
        lease: of the tenant, held by the caller.
        plan: the head as it is.
        excluded: ids of documents that the head leaves out.
        rechunked: the head has chunks of its own, see `pipeline.ledger.heads.rechunk`.
        log: of the tenant.
    """

    log: TenantLog
    lease: Lease
    plan: WritePlan
    excluded: tuple[str, ...] = ()
    rechunked: bool = False

    @classmethod
    def of(cls, log: TenantLog, lease: Lease, building: bool = False) -> WriteJob:
        """For the serving head, or for the one that is being built."""
        found = log.heads.building() if building else log.heads.serving()
        assert found is not None
        return cls.at(log, lease, found.head, found.states)

    @classmethod
    def at(cls, log: TenantLog, lease: Lease, head: Head, states: tuple[State, ...]) -> WriteJob:
        """For a head of the tenant, which has these states."""
        plan = WritePlan(
            tenant=log.tenant.id,
            head=head.id,
            epoch=lease.epoch,
            seed=log.tenant.seed,
            precision=log.tenant.precision,
            step=head.step,
            states=states,
            history=head.history,
        )
        return cls(log, lease, plan, head.excluded, rechunked=head.reason == "upgrade")

    def waiting(self) -> int:
        """Steps of its chunks that the head lacks, as the log is now."""
        if self.rechunked:
            end = rechunked_length(self.log.scope, self.plan.head)
        else:
            end = self.log.length(self.excluded)
        return max(end - self.plan.step, 0)

    def chunks(self, from_step: int) -> Iterator[Chunk]:
        """What is to be memorized, from a step of the head on."""
        if not self.rechunked:
            return self.log.chunks(from_step, excluded=self.excluded)
        cut = rechunked(self.log.scope, self.plan.head, from_step)
        return (Chunk(*chunk) for chunk in cut)


@dataclass(frozen=True)
class Ended:
    """A job that left the write pipeline.

    Attributes:
        steps: memorized and committed in it.
        error: what ended it before its end; what was committed stands.
        released: its last commit gave its lease back.
        job: which it was.
    """

    job: WriteJob
    steps: int
    error: MPlusError | None = None
    released: bool = False


def rewrite_shard(
    job: WriteJob, shard: Shard, writer: WriterLike, tokenizer: Tokenizer, on_step: OnStep = quiet
) -> Shard:
    """Memorize the steps of a shard again, into a new file that no head names yet."""
    states = tuple(state for state in job.plan.states if state.step <= shard.first_step)
    plan = replace(job.plan, step=shard.first_step, states=states, history="")
    step = writer.open(plan)
    try:
        for chunk in job.chunks(step):
            if chunk.step >= shard.end:
                break
            ids = with_header(tokenizer, chunk.heading, chunk.text)
            writer.memorize([WriteRequest(plan.tenant, chunk.step, ids)])
            on_step(job.log.tenant, len(ids))
        sealed = writer.seal(plan.tenant)
    finally:
        writer.close(plan.tenant)
    assert sealed is not None
    return sealed.shards[0]
