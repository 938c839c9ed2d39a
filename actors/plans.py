"""What the roles are told of a tenant, and what a writer hands back to be committed."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

from mplus_ray.model.memory.step_order import StepOrder
from mplus_ray.model.memory.step_ranges import StepRanges, readable_steps
from mplus_ray.model.store.file_refs import Shard, State


@dataclass(frozen=True)
class WritePlan:
    """A tenant's head as a writer takes it over.

    Attributes:
        tenant, head: ids, of the head that is continued.
        epoch: of the lease under which this writer works; part of the names of its files.
        seed, precision: of the tenant.
        step: committed steps; rows up to there exist already.
        states: where memorizing can begin, oldest first, none after `step`.
        history: hash chain at `step`, in hex, by which a writer knows what it has kept; "" where
            that is not to be used.
    """

    tenant: str
    head: str
    epoch: int
    seed: int
    precision: str
    step: int
    states: tuple[State, ...]
    history: str = ""


@dataclass(frozen=True)
class WriteRequest:
    """The chunk that is to become step `step` of a tenant.

    Attributes:
        tenant: its id.
        step: of the new block, counted from 0.
        token_ids: of the chunk, header included; 1 … `chunk_tokens`.
    """

    tenant: str
    step: int
    token_ids: list[int]


@dataclass(frozen=True)
class Sealed:
    """Files that a writer made durable; they count once their head is committed.

    Attributes:
        step: the head's step once they are.
        history: hash chain of the log up to it, in hex.
        drop_states: states that the new ones replace.
        tenant, head: their ids.
        shards: files of the new rows, in the order of their steps.
        states: files that a writer can go on from.
    """

    tenant: str
    head: str
    step: int
    history: str
    shards: tuple[Shard, ...]
    states: tuple[State, ...]
    drop_states: tuple[State, ...] = ()


@dataclass(frozen=True)
class ReadPlan:
    """A tenant's memory as a reader is to see it.

    Attributes:
        head: id of the head that the shards belong to.
        fingerprint: of the weights that made it.
        retention: "checkpoint" or "unbounded".
        step: the memory after so many steps is wanted; the shards may go on.
        forgotten: steps [first, end) that must not be read.
        tenant: its id.
        seed: decides which rows each step drops.
        precision: that the rows are kept in: bfloat16, float32, float16 or int8.
        shards: files of the rows, in the order of their steps.
        order: in which what the steps tell of happened.
        only: steps that a filter leaves, of which nothing but these may be read; None: no filter.
    """

    tenant: str
    head: str
    fingerprint: str
    seed: int
    precision: str
    retention: str
    step: int
    shards: tuple[Shard, ...]
    forgotten: tuple[tuple[int, int], ...] = ()
    only: StepRanges | None = None
    order: StepOrder = field(default_factory=StepOrder)

    @property
    def holds_nothing(self) -> bool:
        """Whether no step of it may be read: nothing was memorized, all of it is forgotten, or a
        filter leaves none."""
        readable = readable_steps(self.step, self.forgotten, self.only)
        return not self.step if readable is None else not readable.any()

    @property
    def seen(self) -> tuple[Hashable, ...]:
        """What tells it from other plans of which a question would see something else."""
        return self.tenant, self.head, self.step, self.forgotten, self.only, self.order

    def reads(self, file: str) -> bool:
        """Whether it needs this file; one that an older plan needed may have been merged away."""
        return any(shard.file == file for shard in self.shards)
