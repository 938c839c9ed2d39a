"""M+ as a multi-tenant memory service on Ray.

In the repository `mplus_ray/model` and its siblings are links to the folders of those names; the
wheel holds the folders themselves. Both are imported as `mplus_ray.model` and so on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mplus_ray.model import Answer, Memory, MPlus, MPlusError, Source

__version__ = "0.1.0"
__all__ = ["Answer", "MPlus", "MPlusError", "Memory", "Source", "__version__"]


def __getattr__(name: str) -> Any:
    """Torch is imported with the first use of a name that needs it, not with the package."""
    if name in __all__:
        from mplus_ray import model

        return getattr(model, name)
    raise AttributeError(f"module 'mplus_ray' has no attribute {name!r}")
