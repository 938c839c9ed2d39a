"""When a delivery that failed is tried again, and when a webhook is given up."""

from __future__ import annotations

import random
from email.utils import parsedate_to_datetime

from mplus_ray.pipeline.ledger.delivery_queue import Attempt, DueDelivery

# Seconds between attempts: a day in all, an hour of it in the first seven.
PAUSES = (5, 15, 45, 135, 405, 1215, 3645, 10_935, *(14_400,) * 5)
_JITTER = 0.2
_LONGEST = 24 * 3600.0  # seconds that a receiver may ask for
_GIVEN_UP = 3 * 24 * 3600.0  # seconds of failures without a success
_GONE = 410


def delivered(status: int) -> Attempt:
    """An attempt that the receiver took."""
    return Attempt(status)


def failed(
    sent: DueDelivery,
    now: float,
    error: str,
    status: int | None = None,
    retry_after: float | None = None,
) -> Attempt:
    """An attempt that failed, and what follows from it.

    Args:
        now: seconds since the epoch.
        status: of the response, if there was one.
        retry_after: seconds that the receiver asks for.
    """
    if status == _GONE:
        return Attempt(status, error, disable="the receiver answered 410 Gone")
    disable = None
    if sent.failing_since is not None and now - sent.failing_since > _GIVEN_UP:
        days = (now - sent.failing_since) / 86_400
        disable = f"no delivery succeeded for {days:.0f} days; the last one failed: {error}"
    if sent.attempts >= len(PAUSES):
        return Attempt(status, error, disable=disable)
    pause = PAUSES[sent.attempts] * random.uniform(1 - _JITTER, 1 + _JITTER)
    if retry_after is not None:
        pause = max(pause, min(retry_after, _LONGEST))
    return Attempt(status, error, now + pause, disable)


def seconds_of(retry_after: str, now: float) -> float | None:
    """What a `Retry-After` header asks for: seconds, or a date; None: nothing that can be read."""
    if retry_after.isdecimal():
        return float(retry_after[:9])
    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - now)
    except (ValueError, TypeError):
        return None
