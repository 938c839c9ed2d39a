"""The read role: answers from saved memories and never changes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actors.folders import has_memory, memory_folder
from model.errors import StorageError

if TYPE_CHECKING:
    from model import Answer, MPlus
    from model.view import MemoryView


class Reader:
    """Memories of the tenants it has opened, each as it was when it was opened last."""

    def __init__(self, model: MPlus, root: Path) -> None:
        self._model = model
        self._root = root
        self._views: dict[str, MemoryView] = {}

    def open(self, tenant: str) -> int:
        """Read a tenant's memory as it is saved now; returns its steps."""
        if not has_memory(self._root, tenant):
            raise StorageError(
                "this tenant's documents are in the log, but none is memorized yet; "
                "`mplus ingest --tenant NAME` memorizes them"
            )
        memory = self._model.restore(memory_folder(self._root, tenant))
        self._views[tenant] = self._model.view(memory)
        return memory.step

    def ask(
        self,
        tenant: str,
        question: str,
        on_text: Callable[[str], None] = lambda piece: None,
        **sampling: Any,
    ) -> Answer:
        """Answer from the memory of an open tenant.

        Args:
            on_text: called with each piece of the answer as it comes.
            sampling: as `model.sampling.Sampling` takes it.
        """
        from model.generate import pieces
        from model.sampling import Sampling

        (generation,) = self._model.start([self._views[tenant]], [question], Sampling(**sampling))
        for piece in pieces(self._model.networks.reader, generation):
            on_text(piece)
        return self._model.answer(generation)
