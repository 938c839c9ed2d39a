"""Answers that were timed."""

from __future__ import annotations

from mplus_ray.bench.serve.samples import TimedQuestion


def sample(began: float, ended: float, tokens: int = 3, error: str = "") -> TimedQuestion:
    """An answer whose words come in the second half of its time."""
    if error:
        return TimedQuestion(began, ended, error=error)
    return TimedQuestion(began, ended, (began + ended) / 2, ended, tokens)
