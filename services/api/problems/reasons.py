"""Why something that was sent cannot be taken, in words that say what to change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def reason_of(found: Mapping[str, Any]) -> str:
    """One of pydantic's errors; what was sent is left out, because it may be a secret."""
    if found["type"] == "extra_forbidden":
        return "there is no such field; /openapi.json has those that there are"
    if found["type"] == "json_invalid":
        return f"it is not JSON: {found.get('ctx', {}).get('error', 'it cannot be read')}"
    return str(found["msg"]).removeprefix("Value error, ")
