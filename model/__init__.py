"""M+: a language model with a short-term pool, a long-term memory and a retriever."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from model.errors import MPlusError

if TYPE_CHECKING:
    from model.library import Answer, MPlus, Source
    from model.memory import Memory

__all__ = ["Answer", "MPlus", "MPlusError", "Memory", "Source"]


def __getattr__(name: str) -> Any:
    """Torch is imported with the first use, so that errors and configs come without it."""
    if name in ("Answer", "MPlus", "Source"):
        from model import library

        return getattr(library, name)
    if name == "Memory":
        from model.memory import Memory

        return Memory
    raise AttributeError(f"module 'model' has no attribute {name!r}")
