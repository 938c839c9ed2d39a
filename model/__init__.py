"""M+: a language model with a short-term pool, a long-term memory and a retriever."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mplus_ray.model.errors import MPlusError

if TYPE_CHECKING:
    from mplus_ray.model.memory.memory import Memory
    from mplus_ray.model.mplus import Answer, MPlus, Source

__all__ = ["Answer", "MPlus", "MPlusError", "Memory", "Source"]


def __getattr__(name: str) -> Any:
    """Torch is imported with the first use, so that errors and configs come without it."""
    if name in ("Answer", "MPlus", "Source"):
        from mplus_ray.model import mplus

        return getattr(mplus, name)
    if name == "Memory":
        from mplus_ray.model.memory.memory import Memory

        return Memory
    raise AttributeError(f"module 'mplus_ray.model' has no attribute {name!r}")
