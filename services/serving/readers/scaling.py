"""How many readers there should be. Serve ships this module by value, so it imports nothing."""

from __future__ import annotations

from typing import Any

ASKED = "asked"  # a reader's own figure: questions that it answers or that wait in it


class ByLoad:
    """As many readers as keep their slots `full` at most.

    Args:
        slots: questions that a reader answers at a time.
        full: share of them that is meant to be in use.
    """

    def __init__(self, slots: int, full: float = 0.75) -> None:
        self._worth = slots * full

    def __call__(self, context: Any) -> tuple[float, dict[str, Any]]:
        """The wanted number; Serve keeps it in the bounds and lets it wait before it shrinks."""
        asked = sum(dict(context.aggregated_metrics.get(ASKED) or {}).values())
        return asked / self._worth, {}
