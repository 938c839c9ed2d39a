"""The write role: memories of many tenants, one step for each of several in one forward pass."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from actors.folders import WriteLock, has_memory, memory_folder, tenant_folder
from model.errors import InvalidInputError

if TYPE_CHECKING:
    from model import MPlus
    from model.memory import Memory


@dataclass(frozen=True)
class WriteRequest:
    """The chunk that is to become step `step` of a tenant."""

    tenant: str
    step: int
    token_ids: list[int]


@dataclass
class _Open:
    memory: Memory
    lock: WriteLock
    saved_step: int


class Writer:
    """Holds the memories it has opened; only what is saved outlives it."""

    def __init__(
        self,
        model: MPlus,
        root: Path,
        save_every: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            root: data directory; each tenant's memory is a folder under it.
            save_every: seconds between savings, which is what a crash makes to be done again.
        """
        self._model = model
        self._root = root
        self._save_every = save_every
        self._clock = clock
        self._last_save = clock()
        self._tenants: dict[str, _Open] = {}

    def open(self, tenant: str, seed: int) -> int:
        """Take a tenant for writing; returns the steps its saved memory has."""
        if tenant not in self._tenants:
            lock = WriteLock(tenant_folder(self._root, tenant))
            try:
                if has_memory(self._root, tenant):
                    memory = self._model.restore(memory_folder(self._root, tenant))
                else:
                    memory = self._model.empty_memory(seed)
            except BaseException:
                lock.release()
                raise
            self._tenants[tenant] = _Open(memory, lock, memory.step)
        return self._tenants[tenant].memory.step

    def memorize(self, requests: Sequence[WriteRequest]) -> list[int]:
        """One step for each of different tenants; returns their steps afterwards.

        Raises:
            InvalidInputError: a request is not the tenant's next step; nothing was memorized.
        """
        self._check(requests)
        opened = [self._tenants[request.tenant] for request in requests]
        memories = self._model.memorize_chunks(
            [tenant.memory for tenant in opened], [request.token_ids for request in requests]
        )
        for tenant, memory in zip(opened, memories, strict=True):
            tenant.memory = memory
        if self._clock() - self._last_save >= self._save_every:
            self.save()
        return [memory.step for memory in memories]

    def save(self) -> None:
        """Make every step memorized so far durable.

        Raises:
            StorageError: a folder cannot be written; what was saved before is unchanged.
        """
        for tenant, opened in self._tenants.items():
            if opened.memory.step == opened.saved_step:
                continue
            self._model.save(opened.memory, memory_folder(self._root, tenant))
            opened.saved_step = opened.memory.step
        self._last_save = self._clock()

    def close(self) -> None:
        """Let go of every tenant, without saving."""
        for opened in self._tenants.values():
            opened.lock.release()
        self._tenants.clear()

    def _check(self, requests: Sequence[WriteRequest]) -> None:
        seen = set()
        for request in requests:
            opened = self._tenants.get(request.tenant)
            if opened is None or request.tenant in seen or request.step != opened.memory.step:
                raise InvalidInputError(
                    f"step {request.step} of tenant {request.tenant} is not the next one here: "
                    + ("the tenant is not open" if opened is None else f"{opened.memory.step} is")
                )
            seen.add(request.tenant)
