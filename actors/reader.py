"""The read role: answers from the memories of the tenants it has opened, and changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from actors.plans import ReadPlan
from model.errors import FingerprintMismatchError

if TYPE_CHECKING:
    from model import Answer, MPlus
    from model.files import Files
    from model.membership import Membership
    from model.memory import Memory
    from model.view import MemoryView

_BASE_EVERY = 512  # steps between memberships that are kept to replay earlier steps from


@dataclass
class _Open:
    plan: ReadPlan  # the newest
    memory: Memory  # whose store has the plan's rows
    bases: list[Membership]  # one in so many steps, to replay earlier ones from
    latest: Membership
    views: dict[tuple[int, tuple[tuple[int, int], ...]], MemoryView]


class Reader:
    """Memories of the tenants it has opened; a later plan of the same head adds what is new."""

    def __init__(self, model: MPlus, files: Files) -> None:
        self._model = model
        self._files = files
        self._tenants: dict[str, _Open] = {}

    def open(self, plan: ReadPlan) -> int:
        """See a tenant's memory as the plan says; returns its steps.

        Raises:
            DamagedFileError: a shard is missing or not what was written.
            FingerprintMismatchError: other weights made the memory.
        """
        self._view(plan)
        return plan.step

    def memory(self, plan: ReadPlan) -> Memory:
        """The memory that a plan describes, for reading."""
        return self._view(plan).memory

    def ask(
        self,
        plan: ReadPlan,
        question: str,
        on_text: Callable[[str], None] = lambda piece: None,
        **sampling: Any,
    ) -> Answer:
        """Answer from the memory that the plan describes.

        Args:
            on_text: called with each piece of the answer as it comes.
            sampling: as `model.sampling.Sampling` takes it.
        """
        from model.generate import pieces
        from model.sampling import Sampling

        (generation,) = self._model.start([self._view(plan)], [question], Sampling(**sampling))
        for piece in pieces(self._model.networks.reader, generation):
            on_text(piece)
        return self._model.answer(generation)

    def close(self, tenant: str) -> None:
        """Let go of a tenant's memory."""
        self._tenants.pop(tenant, None)

    def _view(self, plan: ReadPlan) -> MemoryView:
        opened = self._opened(plan)
        key = (plan.step, plan.forgotten)
        if key not in opened.views:
            opened.views.clear()  # one at a time: a pool on the device is what a view costs
            opened.views[key] = self._model.view(self._at(opened, plan), plan.forgotten)
        return opened.views[key]

    def _opened(self, plan: ReadPlan) -> _Open:
        """What is open of the tenant, brought up to the plan's shards."""
        opened = self._tenants.get(plan.tenant)
        if opened is None or opened.plan.head != plan.head:
            return self._begin(plan)
        end = max((shard.end for shard in plan.shards), default=0)
        steps = opened.memory.store.steps
        if end > steps:
            fresh = [shard for shard in plan.shards if shard.end > steps]
            if fresh[0].first_step != steps:  # compacted across what is open
                return self._begin(plan)
            self._attach(opened, fresh)
        opened.plan = plan
        return opened

    def _begin(self, plan: ReadPlan) -> _Open:
        if plan.fingerprint != self._model.fingerprint:
            raise FingerprintMismatchError(
                f"the memory was made with weights {plan.fingerprint}, but "
                f"{self._model.fingerprint} are loaded; load those, or `mplus rebuild` the memory"
            )
        empty = self._model.empty_memory(plan.seed, plan.precision, plan.retention)
        opened = _Open(plan, empty, [empty.membership], empty.membership, {})
        self._attach(opened, plan.shards)
        self._tenants[plan.tenant] = opened
        return opened

    def _attach(self, opened: _Open, shards: Sequence[Any]) -> None:
        from model.restore import attach

        store = opened.memory.store.prefix(opened.memory.store.steps)
        attach(store, self._files, shards, self._model.fingerprint)
        opened.memory = replace(opened.memory, store=store)

    def _at(self, opened: _Open, plan: ReadPlan) -> Memory:
        """The memory after the plan's steps, replayed from the nearest step that is known."""
        from model.memory import Tip

        known = [m for m in (*opened.bases, opened.latest) if m.step <= plan.step]
        membership = max(known, key=lambda m: m.step)
        first = (membership.step // _BASE_EVERY + 1) * _BASE_EVERY
        for step in range(first, plan.step + 1, _BASE_EVERY):
            membership = membership.replay(plan.seed, step)
            if step > opened.bases[-1].step:
                opened.bases.append(membership)
        opened.latest = membership.replay(plan.seed, plan.step)
        return replace(opened.memory, membership=opened.latest, tip=Tip(plan.step, b"", None))
