"""What is said of a document beside its text and metadata, as people write it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any

from mplus_ray.model.errors import InvalidInputError
from mplus_ray.pipeline.parsing.document import Details
from mplus_ray.pipeline.parsing.limits import check_details

DETAILS = ("session", "tags", "occurred_at", "expires_at", "ttl")


def read_details(fields: Mapping[str, Any], now: float) -> Details:
    """Of an object's fields `session`, `tags` (a text or a list), `occurred_at` and `expires_at`
    (ISO 8601, UTC if it names no offset), and `ttl` (seconds until it is to be forgotten).

    Args:
        now: seconds since the epoch, that `ttl` counts from.

    Raises:
        InvalidInputError: one is not what it should be; the message begins with its name.
    """
    session, tags, ttl = (fields.get(name) for name in ("session", "tags", "ttl"))
    tags = [tags] if isinstance(tags, str) else tags or []
    if not isinstance(session, str | None):
        raise InvalidInputError("session is no text")
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise InvalidInputError("tags are no list of texts")
    expires_at = _time(fields, "expires_at")
    if ttl is not None:
        if expires_at is not None:
            raise InvalidInputError("ttl and expires_at say the same; give one of them")
        number = isinstance(ttl, int | float) and not isinstance(ttl, bool)
        if not number or not math.isfinite(ttl) or not 0 < ttl < 1e11:
            raise InvalidInputError("ttl is no number of seconds above 0")
        expires_at = now + ttl
    if expires_at is not None and expires_at <= now:
        raise InvalidInputError("expires_at has passed already, so there is nothing to remember")
    occurred_at = _time(fields, "occurred_at")
    details = Details(session, tuple(dict.fromkeys(tags)), occurred_at, expires_at)
    check_details(details)
    return details


def parse_time(text: str, zone: tzinfo | None = None) -> float:
    """ISO 8601 as seconds since the epoch.

    Args:
        zone: of a time that names no offset; None: this machine's.

    Raises:
        InvalidInputError: it is no time.
    """
    try:
        time = datetime.fromisoformat(text)
        return (time if time.tzinfo else time.replace(tzinfo=zone)).timestamp()
    except (ValueError, OverflowError):
        raise InvalidInputError(
            f"{text[:100]!r} is no time; give one such as 2026-03-01, 2026-03-01T12:00 or "
            "2026-03-01T12:00:00+00:00"
        ) from None


def _time(fields: Mapping[str, Any], name: str) -> float | None:
    value = fields.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise InvalidInputError(f"{name} is no time as a text, such as 2026-03-01T12:00")
    try:
        return parse_time(value, UTC)
    except InvalidInputError as error:
        raise InvalidInputError(f"{name}: {error}") from None
