"""What all request and response models share."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


class Response(BaseModel):
    """What the API says."""

    model_config = ConfigDict(frozen=True)


class Request(BaseModel):
    """What the API is told; a field that it does not know is a mistake, not a wish."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _no_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("must not contain the character NUL")
    return text


Text = Annotated[str, AfterValidator(_no_nul)]
Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_no_nul)]
Time = Annotated[str, Field(description="ISO 8601 in UTC.", examples=["2026-03-01T12:00:00+00:00"])]


def iso(seconds: float) -> str:
    """Seconds since the epoch as ISO 8601 in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def iso_or_none(seconds: float | None) -> str | None:
    return None if seconds is None else iso(seconds)


def example(value: dict[str, Any]) -> ConfigDict:
    """A model's example in the OpenAPI document."""
    return ConfigDict(json_schema_extra={"examples": [value]})
