"""Steps of a memory as ranges: small to send, and a value that can be compared."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class StepRanges:
    """Ranges [first, end) of steps, ascending, none of which touches the next.

    Attributes:
        data: their bounds, first and end in turn, as little-endian 64-bit integers.
    """

    data: bytes = b""

    @classmethod
    def of(cls, ranges: Iterable[tuple[int, int]]) -> Self:
        """Of ranges in any order, which may touch or overlap; empty ones count for nothing."""
        bounds = np.array([pair for pair in ranges if pair[0] < pair[1]], dtype="<i8")
        if not len(bounds):
            return cls()
        bounds = bounds[np.argsort(bounds[:, 0], kind="stable")]
        reached = np.maximum.accumulate(bounds[:, 1])
        begins = np.concatenate([[True], bounds[1:, 0] > reached[:-1]])
        ends = np.concatenate([begins[1:], [True]])
        return cls(np.stack([bounds[begins, 0], reached[ends]], axis=1).tobytes())

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter([(first, end) for first, end in self._bounds().tolist()])

    def __len__(self) -> int:
        """How many ranges."""
        return len(self.data) // 16

    def mask(self, steps: int) -> NDArray[np.bool_]:
        """[steps], true where a step lies in one of them."""
        bounds = self._bounds().clip(0, steps)
        changes = np.zeros(steps + 1, dtype=np.int64)
        np.add.at(changes, bounds[:, 0], 1)
        np.add.at(changes, bounds[:, 1], -1)
        inside: NDArray[np.bool_] = changes[:-1].cumsum() > 0
        return inside

    def _bounds(self) -> NDArray[np.int64]:
        return np.frombuffer(self.data, dtype="<i8").reshape(-1, 2)


def readable_steps(
    steps: int, forgotten: Sequence[tuple[int, int]], only: StepRanges | None
) -> NDArray[np.bool_] | None:
    """[steps], true where a step may be read; None if all may.

    Args:
        forgotten: steps [first, end) that may not.
        only: if given, those that may.
    """
    if not forgotten and only is None:
        return None
    readable = ~StepRanges.of(forgotten).mask(steps)
    return readable if only is None else readable & only.mask(steps)
