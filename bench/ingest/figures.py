"""The numbers that several measurements share: rates with their spread, and parts of a long run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from mplus_ray.pipeline.writing.observer import Commit, Unobserved


@dataclass(frozen=True)
class Spread:
    """A figure measured several times.

    Attributes:
        median: of all.
        low, high: the smallest and the largest.
        n: how many.
    """

    median: float
    low: float
    high: float
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(statistics.median(values), min(values), max(values), len(values))


@dataclass
class Marks(Unobserved):
    """When each commit came, and how many tokens it made durable.

    Attributes:
        began: seconds of `time.perf_counter`.
        marks: (seconds since then, tokens) of each commit.
    """

    began: float = field(default_factory=time.perf_counter)
    marks: list[tuple[float, int]] = field(default_factory=list)

    def committed(self, commit: Commit) -> None:
        self.marks.append((time.perf_counter() - self.began, commit.tokens))

    @property
    def seconds(self) -> float:
        """To the last commit."""
        return self.marks[-1][0]


def part_rates(marks: Sequence[tuple[float, int]], parts: int) -> list[float]:
    """Tokens a second in parts of equal size, each from the commit that ends the part before it.

    A part ends with the first commit that completes it, so its rate is of what was committed.

    Args:
        marks: (seconds since the beginning, tokens of the commit), in order.
    """
    total = sum(tokens for _, tokens in marks)
    ends = [(0.0, 0)]
    done = 0
    for seconds, tokens in marks:
        done += tokens
        if done * parts >= total * len(ends):
            ends.append((seconds, done))
    return [(b[1] - a[1]) / (b[0] - a[0]) for a, b in pairwise(ends)]


def flatness(rates: Sequence[float]) -> dict[str, float]:
    """How constant a rate stays.

    Returns:
        `last_to_first`: the last part's rate over the first one's; `largest_deviation`: of any
        part from the parts' median, as a share of it.
    """
    middle = statistics.median(rates)
    return {
        "last_to_first": rates[-1] / rates[0],
        "largest_deviation": max(abs(rate / middle - 1) for rate in rates),
    }
