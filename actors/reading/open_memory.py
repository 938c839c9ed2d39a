"""One tenant's memory as a reader has opened it; later plans of the same head add to it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mplus_ray.actors.plans import ReadPlan
from mplus_ray.model.errors import FingerprintMismatchError

if TYPE_CHECKING:
    from mplus_ray.model import MPlus
    from mplus_ray.model.generation.memory_view import MemoryView
    from mplus_ray.model.memory.memory import Memory
    from mplus_ray.model.object_store.object_store import ObjectStore
    from mplus_ray.model.store.file_refs import Shard

BASE_EVERY = 512  # steps between memberships that are kept to replay earlier steps from


class OpenMemory:
    """Rows of one head, and the memory at any step of it. One thread at a time; the memories and
    views it gives may be read by any."""

    def __init__(self, model: MPlus, files: ObjectStore, plan: ReadPlan) -> None:
        """Nothing is read before `reach`.

        Raises:
            FingerprintMismatchError: other weights made the memory.
        """
        if plan.fingerprint != model.fingerprint:
            raise FingerprintMismatchError(
                f"the memory was made with weights {plan.fingerprint}, but "
                f"{model.fingerprint} are loaded; load those, or `mplus rebuild` the memory"
            )
        self._model = model
        self._files = files
        self._memory = model.empty_memory(plan.seed, plan.precision, plan.retention)
        self._bases = [self._memory.membership]
        self._latest = self._memory.membership

    def reach(self, plan: ReadPlan) -> None:
        """Have the rows of all the plan's shards.

        Raises:
            DamagedFileError: a shard is missing or not what was written.
        """
        from mplus_ray.model.store.row_store import attach

        new = fresh(plan, self._memory.store.steps)
        if new:
            store = self._memory.store.prefix(self._memory.store.steps)
            attach(store, self._files, new, self._model.fingerprint)
            self._memory = replace(self._memory, store=store)

    def at(self, plan: ReadPlan) -> Memory:
        """The memory after the plan's steps, replayed from the nearest step that is known."""
        from mplus_ray.model.store.writer_state import WriterState

        known = [m for m in (*self._bases, self._latest) if m.step <= plan.step]
        membership = max(known, key=lambda m: m.step)
        first = (membership.step // BASE_EVERY + 1) * BASE_EVERY
        for step in range(first, plan.step + 1, BASE_EVERY):
            membership = membership.replay(plan.seed, step)
            if step > self._bases[-1].step:
                self._bases.append(membership)
        membership = membership.replay(plan.seed, plan.step)
        if membership.step > self._latest.step:
            self._latest = membership
        return replace(
            self._memory, membership=membership, writer_state=WriterState(plan.step, b"", None)
        )

    def view(self, plan: ReadPlan) -> MemoryView:
        """The memory after the plan's steps, ready for questions."""
        self.reach(plan)
        return self._model.view(self._seen(plan), plan.forgotten, plan.only, plan.order).prepare()

    def _seen(self, plan: ReadPlan) -> Memory:
        """As far as questions can tell, the memory after the plan's steps."""
        from mplus_ray.model.store.writer_state import WriterState

        beginning = self._bases[0]
        if not beginning.is_all:
            return self.at(plan)
        known = beginning.everything(plan.step)
        return replace(
            self._memory, membership=known, writer_state=WriterState(plan.step, b"", None)
        )


def continues(before: ReadPlan, plan: ReadPlan, far: bool) -> bool:
    """Whether a memory that was opened up to `before` has the plan's rows, or can be given them.

    Args:
        far: the files are not mapped, so those that were read first must still be there.
    """
    if before.head != plan.head:
        return False
    steps = end_of(before)
    new = fresh(plan, steps)
    if new and new[0].first_step != steps:  # compacted across what is open
        return False
    if far and end_of(plan) >= steps:
        return {shard.file for shard in before.shards} <= {shard.file for shard in plan.shards}
    return True


def end_of(plan: ReadPlan) -> int:
    """Steps that the plan's shards reach up to."""
    return max((shard.end for shard in plan.shards), default=0)


def fresh(plan: ReadPlan, steps: int) -> list[Shard]:
    """The plan's shards beyond the first `steps`."""
    return [shard for shard in plan.shards if shard.end > steps]
