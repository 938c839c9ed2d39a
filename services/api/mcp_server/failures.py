"""Errors as an agent can read them: what is wrong, and what to do about it."""

from __future__ import annotations

import logging

import mcp_types as types
from pydantic import ValidationError

from mplus_ray.model.errors import MPlusError
from mplus_ray.services.api.mcp_server.arguments import Arguments
from mplus_ray.services.api.problems.responses import describe

_log = logging.getLogger(__name__)


def failed(why: str) -> types.CallToolResult:
    """A call that did not work."""
    return types.CallToolResult(content=[types.TextContent(type="text", text=why)], is_error=True)


def explained(error: Exception, request_id: str) -> str:
    """Any error in a sentence, with what to do where that is known."""
    if not isinstance(error, MPlusError):
        _log.error("a call of a tool failed", exc_info=error, extra={"request_id": request_id})
    found = describe(error)
    if found.status == 500:
        return f"{found.detail}: {request_id}. Trying again may help; other arguments will not."
    later = found.headers.get("retry-after")
    return f"{found.detail}; call again in {later} s" if later else found.detail


def misread(name: str, model: type[Arguments], error: ValidationError) -> str:
    """Arguments that cannot be taken, one by one, and which there are."""
    wrong = []
    for found in error.errors()[:5]:
        where = ".".join(str(part)[:80] for part in found["loc"]) or "arguments"
        unknown = found["type"] == "extra_forbidden"
        wrong.append(f"{where}: {'there is no such argument' if unknown else found['msg']}")
    fields = ", ".join(
        f"{each} (required)" if field.is_required() else each
        for each, field in model.model_fields.items()
    )
    return f"{'; '.join(wrong)}. The arguments of {name} are: {fields}."
