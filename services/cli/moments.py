"""Moments as people write them: a step, a time, or the name of a snapshot."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mplus_ray.model.errors import InvalidInputError

if TYPE_CHECKING:
    from mplus_ray.pipeline.ledger.tenant_log import TenantLog


def iso(seconds: float | None) -> str | None:
    """Seconds since the epoch as ISO 8601 in UTC."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()


def parse_time(text: str) -> float:
    """ISO 8601 as seconds since the epoch; without an offset it is local time.

    Raises:
        InvalidInputError: it is no time.
    """
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        raise InvalidInputError(
            f"{text!r} is neither a step nor a time; give a whole number, or a time such as "
            "2026-03-01T12:00 or 2026-03-01T12:00:00+00:00"
        ) from None


def step_of(log: TenantLog, as_of: str | None, snapshot: str | None) -> int | None:
    """The step that `--as-of` or `--snapshot` names; None if neither was given.

    Raises:
        InvalidInputError: both were given, or there is no such moment.
    """
    if as_of is not None and snapshot is not None:
        raise InvalidInputError("--as-of and --snapshot name two moments; give one of them")
    if snapshot is not None:
        return log.snapshots.get(snapshot).step
    if as_of is None:
        return None
    number = as_of.strip()
    if number.removeprefix("-").isdecimal():
        return int(number)
    return log.step_at(parse_time(as_of))
