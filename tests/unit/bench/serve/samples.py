"""Answers that were timed."""

from __future__ import annotations

from mplus_ray.bench.serve.samples import Sample


def sample(began: float, ended: float, tokens: int = 3, error: str = "") -> Sample:
    """An answer whose words come in the second half of its time."""
    if error:
        return Sample(began, ended, error=error)
    return Sample(began, ended, (began + ended) / 2, ended, tokens)
