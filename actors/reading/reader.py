"""The read role, one question at a time: answers from memories it has opened, changes nothing."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any

from mplus_ray.actors.messages import AskResult, SearchResult
from mplus_ray.actors.plans import ReadPlan
from mplus_ray.actors.reading.open_memory import OpenMemory, continues, end_of
from mplus_ray.actors.reading.request import judged

if TYPE_CHECKING:
    from mplus_ray.model import Answer, MPlus
    from mplus_ray.model.generation.memory_view import MemoryView
    from mplus_ray.model.memory.memory import Memory
    from mplus_ray.model.object_store.object_store import ObjectStore

_VIEWS = 4  # kept; the pool on the device is what a view costs


class Reader:
    """Memories of the tenants it has opened; a later plan of the same head adds what is new."""

    def __init__(self, model: MPlus, files: ObjectStore) -> None:
        self._model = model
        self._files = files
        self._tenants: dict[str, tuple[ReadPlan, OpenMemory]] = {}
        self._views: OrderedDict[tuple[Hashable, ...], MemoryView] = OrderedDict()

    def open(self, plan: ReadPlan) -> int:
        """Open a tenant's memory as the plan says; returns its steps.

        Raises:
            DamagedFileError: a shard is missing or not what was written.
            FingerprintMismatchError: other weights made the memory.
        """
        self._view(plan)
        return plan.step

    def memory(self, plan: ReadPlan) -> Memory:
        """The memory that a plan describes, for reading."""
        return self._opened(plan).at(plan)

    def ask(
        self,
        plan: ReadPlan,
        question: str,
        on_text: Callable[[str], None] = lambda piece: None,
        **sampling: Any,
    ) -> Answer:
        """Answer from the memory that the plan describes, see `judge`."""
        return self.judge(plan, question, on_text, **sampling).answer

    def judge(
        self,
        plan: ReadPlan,
        question: str,
        on_text: Callable[[str], None] = lambda piece: None,
        **sampling: Any,
    ) -> AskResult:
        """An answer from the memory that the plan describes, with its confidence.

        Args:
            on_text: called with each piece of the answer as it comes.
            sampling: as `model.generation.sampling.Sampling` takes it.
        """
        from mplus_ray.model.generation.generate import pieces
        from mplus_ray.model.generation.sampling import Sampling

        (generation,) = self._model.start([self._view(plan)], [question], Sampling.of(sampling))
        for piece in pieces(self._model.networks.reader, generation):
            on_text(piece)
        return judged(self._model, generation)

    def search(self, plan: ReadPlan, query: str, limit: int = 10) -> SearchResult:
        """The steps of the plan's memory that an answer would draw on.

        Args:
            limit: so many at most, from 1.
        """
        found = self._model.search(self._view(plan), query, limit)
        return SearchResult(tuple(found), self._model.config.votes)

    def close(self, tenant: str) -> None:
        """Let go of a tenant's memory."""
        self._tenants.pop(tenant, None)
        for key in [key for key in self._views if key[0] == tenant]:
            del self._views[key]

    def _view(self, plan: ReadPlan) -> MemoryView:
        opened = self._opened(plan)
        key = plan.seen
        if key not in self._views:
            while len(self._views) >= _VIEWS:
                self._views.popitem(last=False)
            self._views[key] = opened.view(plan)
        self._views.move_to_end(key)
        return self._views[key]

    def _opened(self, plan: ReadPlan) -> OpenMemory:
        """What is open of the tenant, brought up to the plan's shards."""
        before, opened = self._tenants.get(plan.tenant, (plan, None))
        if opened is None or not continues(before, plan, self._files.local is None):
            self.close(plan.tenant)
            before, opened = plan, OpenMemory(self._model, self._files, plan)
        opened.reach(plan)
        furthest = max(before, plan, key=end_of)
        self._tenants[plan.tenant] = furthest, opened
        return opened
