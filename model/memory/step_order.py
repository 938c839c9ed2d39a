"""In which order what steps tell of happened, where it is not the order in which they came."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np


@dataclass(frozen=True)
class StepOrder:
    """Places of steps in time. A step of which nothing is said has its own number as its place.

    Attributes:
        until: place up to which a question asks what was true; None: now.
        data: ranges [first, end) of steps in ascending order, each with its place, as three
            little-endian 64-bit floats.
    """

    data: bytes = b""
    until: float | None = None

    @classmethod
    def of(cls, placed: Iterable[tuple[int, int, float]]) -> Self:
        """Of (first, end, place), which do not overlap. A place of 2.5 is after step 2 and before
        step 3."""
        return cls(np.array(sorted(placed), dtype="<f8").tobytes())

    def latest(self, steps: Collection[int]) -> int:
        """Of some steps the one that tells of the latest time, up to the one that is asked about;
        where all are later, of these."""
        then = [s for s in steps if self.until is None or self.place(s)[0] <= self.until]
        return max(then or steps, key=self.place)

    def place(self, step: int) -> tuple[float, int]:
        """By which steps are compared; of two with one place the later came later."""
        rows = np.frombuffer(self.data, dtype="<f8").reshape(-1, 3)
        at = int(np.searchsorted(rows[:, 0], step, side="right")) - 1
        if at >= 0 and step < rows[at, 1]:
            return float(rows[at, 2]), step
        return float(step), step
