"""What all operations find at their client."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from ..models import DocumentFilter
from ..requests import Patience, plain

Filter = DocumentFilter | Mapping[str, Any]
Moment = int | str | datetime  # a step, an ISO 8601 time, or a time


class Core:
    """The base of all operations.

    Attributes:
        patience: how long requests are tried again.
    """

    patience: Patience


def moment(value: Moment | None) -> int | str | None:
    """As the service takes it; a time without an offset is in UTC."""
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()
    return value


def chosen(wanted: Filter | None) -> dict[str, Any] | None:
    """A filter as JSON has it.

    Raises:
        pydantic.ValidationError: it has a field that no filter has.
    """
    if wanted is None:
        return None
    found = wanted if isinstance(wanted, DocumentFilter) else DocumentFilter.model_validate(wanted)
    return dict(plain(found))
