"""What a document may be called and carry, the same at every door.

An id becomes part of a path, in the API's URLs for instance, so it holds nothing that a path would
take for another place. Metadata is kept and shown whole, so it is small.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from mplus_ray.model.errors import InvalidInputError
from mplus_ray.pipeline.parsing.document import Details

MAX_KEY = 1000  # bytes; what an index of either database takes
MAX_METADATA_BYTES = 64 * 1024  # as JSON
MAX_METADATA_DEPTH = 8
MAX_METADATA_KEYS = 1000  # of all levels together
MAX_SECTIONS = 20_000
# Times that have a name: from the first of January of the year 1 to the end of 9999, in UTC.
_FIRST_TIME, _LAST_TIME = -62_135_596_800.0, 253_402_300_799.0
MAX_TAGS, MAX_TAG = 100, 200  # tags of a document, and characters of one or of a session's name
_SEPARATORS = re.compile(r"[/\\]")


def check_key(key: str) -> None:
    """Refuse what cannot be a document's id.

    Raises:
        InvalidInputError: it is empty, too long, not printable (half a surrogate is not), or has a
            part `.` or `..` between slashes.
    """
    printable = bool(key.strip()) and key.isprintable()
    if not printable or len(key.encode()) > MAX_KEY:
        raise InvalidInputError(
            f"{key[:80]!r} cannot be a document's id; use 1 to {MAX_KEY} bytes of printable text"
        )
    if has_dots(key):
        raise InvalidInputError(
            f"{key[:80]!r} cannot be a document's id: a path would take '.' and '..' for other "
            "places; use another id"
        )


def has_dots(name: str) -> bool:
    """Whether a path with this name in it would lead elsewhere."""
    return any(part in (".", "..") for part in _SEPARATORS.split(name))


def check_details(details: Details) -> None:
    """Refuse a session or tags that no filter could name, and times that cannot be shown.

    Raises:
        InvalidInputError: one is empty, too long or not printable, there are too many tags, or a
            time is of no year from 1 to 9999.
    """
    for kind, time in (("occurred_at", details.occurred_at), ("expires_at", details.expires_at)):
        if time is not None and not _FIRST_TIME <= time <= _LAST_TIME:
            raise InvalidInputError(f"{kind} is of no year from 1 to 9999, in UTC")
    if len(details.tags) > MAX_TAGS:
        raise InvalidInputError(
            f"it has {len(details.tags):,} tags; {MAX_TAGS} are allowed: put the rest into metadata"
        )
    named = [("session", details.session)] if details.session is not None else []
    for kind, name in [*named, *(("tag", tag) for tag in details.tags)]:
        if not name.strip() or not name.isprintable() or len(name) > MAX_TAG:
            raise InvalidInputError(
                f"{name[:80]!r} cannot be a {kind}; use 1 to {MAX_TAG} printable characters"
            )


def check_metadata(metadata: Mapping[str, Any]) -> int:
    """Refuse metadata that is too much to be shown in a list.

    Returns its bytes as JSON.

    Raises:
        InvalidInputError: it is too large, too deep or has too many keys, or a number in it is
            none that JSON has.
    """
    keys = 0
    below: list[tuple[Any, int]] = [(metadata, 1)]
    while below:
        value, depth = below.pop()
        if not isinstance(value, Mapping | list | tuple):
            continue
        if depth > MAX_METADATA_DEPTH:
            raise InvalidInputError(
                f"its metadata is more than {MAX_METADATA_DEPTH} levels deep; send it flatter"
            )
        keys += len(value)
        if keys > MAX_METADATA_KEYS:
            raise InvalidInputError(
                f"its metadata has more than {MAX_METADATA_KEYS:,} keys and entries; send less of "
                "it, or put it into the text"
            )
        inner = value.values() if isinstance(value, Mapping) else value
        below += [(each, depth + 1) for each in inner]
    try:
        size = len(json.dumps(metadata, ensure_ascii=False, allow_nan=False).encode())
    except (ValueError, TypeError):
        raise InvalidInputError(
            "its metadata holds something that is no JSON: NaN, an infinite number, or half of a "
            "character; send what JSON has"
        ) from None
    if size > MAX_METADATA_BYTES:
        raise InvalidInputError(
            f"its metadata has {size:,} bytes; {MAX_METADATA_BYTES:,} are allowed: send less of "
            "it, or put it into the text"
        )
    return size
