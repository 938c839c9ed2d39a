"""What became of questions, and the figures that many of them make."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mplus_ray.bench.durable.appends import Percentiles
from mplus_ray.model.errors import MPlusError


class ServeBenchError(MPlusError):
    """The service did not start, or did not do what was to be measured."""


@dataclass(frozen=True)
class TimedQuestion:
    """One question. Times are seconds of `time.perf_counter`.

    Attributes:
        first, last: when the first and the last piece of the answer came; None without one.
        ended: when the whole answer was there, or the error.
        step: of the memory that gave the answer.
        error: why there is no answer; empty if there is one.
        began: when the request was sent.
        tokens: of the answer.
    """

    began: float
    ended: float
    first: float | None = None
    last: float | None = None
    tokens: int = 0
    step: int = -1
    error: str = ""

    @property
    def to_first(self) -> float:
        """Seconds to the first piece; to the end, where the answer is empty."""
        return (self.ended if self.first is None else self.first) - self.began

    @property
    def whole(self) -> float:
        """Seconds to the end."""
        return self.ended - self.began

    @property
    def rate(self) -> float | None:
        """Tokens a second from the first one on; None where there is no second one."""
        if self.first is None or self.last is None or self.last <= self.first or self.tokens < 2:
            return None
        return (self.tokens - 1) / (self.last - self.first)


@dataclass(frozen=True)
class Load:
    """Questions asked in one go, and the seconds that all of them took.

    Attributes:
        samples: of each question.
        seconds: from the first request to the last answer.
    """

    samples: Sequence[TimedQuestion]
    seconds: float

    @property
    def answered(self) -> list[TimedQuestion]:
        """
        Raises:
            ServeBenchError: no question was.
        """
        found = [sample for sample in self.samples if not sample.error]
        if not found:
            said = self.samples[0].error if self.samples else "none was asked"
            raise ServeBenchError(f"no question of {len(self.samples)} was answered: {said}")
        return found

    @property
    def errors(self) -> dict[str, int]:
        """How often which error came."""
        return dict(Counter(sample.error for sample in self.samples if sample.error))

    @property
    def tokens_per_second(self) -> float:
        """Of all answers together."""
        return sum(sample.tokens for sample in self.answered) / self.seconds

    def first_token_ms(self) -> dict[str, float]:
        return asdict(Percentiles.of([sample.to_first for sample in self.answered]))

    def rates(self) -> dict[str, float]:
        """Tokens a second of single answers, and `total`, those of all together.

        99 % of the answers are at least as fast as `p99`.
        """
        found = [rate for sample in self.answered if (rate := sample.rate) is not None]
        if not found:
            raise ServeBenchError("no answer had two tokens that came one after the other")
        p50, p99 = (float(np.percentile(found, q)) for q in (50, 1))
        return {"p50": p50, "p99": p99, "total": self.tokens_per_second, "n": len(found)}


def overhead(service: Sequence[TimedQuestion], bare: Sequence[TimedQuestion]) -> dict[str, Any]:
    """Milliseconds that the same questions take longer one way than the other, to their end.

    `p50` and `p99` are of the differences of pairs; `service` and `bare` are medians.
    """
    pairs = [
        (one, other)
        for one, other in zip(service, bare, strict=True)
        if not one.error and not other.error
    ]
    if not pairs:
        raise ServeBenchError(f"no question was answered both ways: {service[0].error}")

    def ms(values: Sequence[float], q: float = 50) -> float:
        return 1e3 * float(np.percentile(values, q))

    longer = [one.whole - other.whole for one, other in pairs]
    return {
        "p50": ms(longer),
        "p99": ms(longer, 99),
        "service": ms([one.whole for one, _ in pairs]),
        "bare": ms([other.whole for _, other in pairs]),
        "first_token_p50": ms([one.to_first - other.to_first for one, other in pairs]),
        "n": len(pairs),
    }


def killed(samples: Sequence[TimedQuestion], kills: Sequence[float]) -> dict[str, Any]:
    """What it cost that the reader was killed at these moments.

    `failed`: questions without an answer; `in_flight`: those of them that were under way at a
    kill; `under_way`: all that were. `back_seconds` is the longest time from a kill to a word of
    an answer to a question that was asked after it.
    """
    failed = [sample for sample in samples if sample.error]
    under_way = [s for s in failed if any(s.began <= at <= s.ended for at in kills)]
    back = [seconds for at in kills if (seconds := seconds_until_back(samples, at)) is not None]
    if len(back) < len(kills):
        raise ServeBenchError("a kill was not followed by an answer")
    return {
        "failed": len(failed),
        "in_flight": len(under_way),
        "back_seconds": max(back),
        "each_back_seconds": back,
        "kills": len(kills),
        "asked": len(samples),
        "under_way": sum(any(s.began <= at <= s.ended for at in kills) for s in samples),
        "errors": Load(samples, 0.0).errors,
    }


def seconds_until_back(samples: Sequence[TimedQuestion], at: float) -> float | None:
    """From a moment to the first word of an answer to a question that was asked later."""
    later = [s.began + s.to_first for s in samples if s.began > at and not s.error]
    return min(later) - at if later else None


def growth(values: Sequence[float]) -> float:
    """The median of the last third over that of the first one, less 1."""
    third = len(values) // 3
    if not third:
        raise ServeBenchError(f"{len(values)} samples of memory have no thirds; measure longer")
    return float(np.median(values[-third:]) / np.median(values[:third])) - 1
