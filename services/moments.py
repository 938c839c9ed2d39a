"""Moments as people write them: a step, a time, or the name of a snapshot."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING

from mplus_ray.model.errors import InvalidInputError
from mplus_ray.pipeline.parsing.details import parse_time

if TYPE_CHECKING:
    from mplus_ray.pipeline.ledger.tenant_log import TenantLog

_DIGITS = 19  # of a step that the ledger can count


def iso(seconds: float | None) -> str | None:
    """Seconds since the epoch as ISO 8601 in UTC."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()


def step_of(
    log: TenantLog,
    as_of: int | str | None,
    snapshot: str | None,
    zone: tzinfo | None = None,
) -> int | None:
    """The step that a moment names; None if none was given.

    Args:
        as_of: a step, or a time.
        snapshot: the name of one.
        zone: of a time that names no offset: this machine's for its own user, UTC for others.

    Raises:
        InvalidInputError: both were given, or there is no such moment.
    """
    if as_of is not None and snapshot is not None:
        raise InvalidInputError("as_of and snapshot name two moments; give one of them")
    if snapshot is not None:
        return log.snapshots.get(snapshot).step
    if as_of is None or isinstance(as_of, int):
        return as_of
    number = as_of.strip()
    if number.removeprefix("-").isdecimal() and len(number) < _DIGITS:
        return int(number)
    try:
        time = parse_time(number, zone)
    except InvalidInputError as error:
        raise InvalidInputError(f"neither a step nor a time: {error}") from None
    return log.step_at(time)
