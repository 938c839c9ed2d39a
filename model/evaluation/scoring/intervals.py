"""Confidence bounds: how far the true figure may lie from a measured one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

_Z = 1.959964  # 95 % of a normal distribution lie within so many standard deviations


def wilson(hits: int, n: int) -> tuple[float, float]:
    """Bounds that hold the true share with 95 % (Wilson, 1927); (0, 1) if nothing was counted."""
    if n == 0:
        return 0.0, 1.0
    share, scale = hits / n, 1 + _Z * _Z / n
    middle = (share + _Z * _Z / (2 * n)) / scale
    half = _Z * (share * (1 - share) / n + _Z * _Z / (4 * n * n)) ** 0.5 / scale
    return max(0.0, middle - half), min(1.0, middle + half)


def mean_bounds(values: Sequence[float]) -> tuple[float, float]:
    """95 % bounds of the mean of many independent values, by the normal distribution."""
    if len(values) < 2:
        return -np.inf, np.inf
    mean, error = np.mean(values), np.std(values, ddof=1) / len(values) ** 0.5
    return float(mean - _Z * error), float(mean + _Z * error)


def share(hits: Sequence[bool], name: str) -> dict[str, Any]:
    """{name, "low", "high", "n"} of yes-or-no results; the share is None if there are none."""
    count, n = sum(hits), len(hits)
    low, high = wilson(count, n)
    return {
        name: _rounded(count / n) if n else None,
        "low": _rounded(low),
        "high": _rounded(high),
        "n": n,
    }


def share_of(hits: Sequence[bool], name: str) -> dict[str, Any]:
    """{name, name_low, name_high} of yes-or-no results, to stand beside others of the same n."""
    found = share(hits, name)
    return {name: found[name], f"{name}_low": found["low"], f"{name}_high": found["high"]}


def mean_of(values: Sequence[float], name: str) -> dict[str, Any]:
    """{name, name_low, name_high} of scores between 0 and 1."""
    low, high = mean_bounds(values)
    return {
        name: _rounded(float(np.mean(values))) if len(values) else None,
        f"{name}_low": _rounded(max(0.0, low)),
        f"{name}_high": _rounded(min(1.0, high)),
    }


def _rounded(value: float) -> float:
    return round(value, 4)
