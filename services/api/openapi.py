"""The OpenAPI document: what FastAPI finds, with the problems that every route may answer with."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from mplus_ray.services.api.problems.responses import MEDIA_TYPE
from mplus_ray.services.api.schemas.documents import NewDocuments
from mplus_ray.services.api.schemas.openai import ChatChunk
from mplus_ray.services.api.schemas.problems import OpenAIError, Problem

Responses = dict[int | str, dict[str, Any]]

_WORDS = {
    400: "The body cannot be read.",
    401: "No valid key was sent.",
    403: "The key does not allow this.",
    404: "This tenant has no such thing.",
    405: "The path does not take that method.",
    409: "It does not go together with what is there.",
    413: "The body, or what the tenant would have, is too large.",
    415: "The content type is not one that can be taken.",
    422: "The request is not valid.",
    429: "Too much in a minute, or at once; `retry-after` says when to come again.",
    500: "Something went wrong here.",
    503: "Not now; `retry-after` says when to come again.",
    504: "It did not come about in time.",
    507: "The memory does not fit into any reader.",
}
_ALWAYS = (400, 401, 403, 413, 422, 500, 503)
_REF = "#/components/schemas/{model}"
_DESCRIPTION = """Documents become latent memory; questions are answered from it, with the
passages that the answer draws on. The key decides whose memory: a tenant sees nothing of another
one.

Errors are problem details (RFC 9457). Citations are attribution, not proof."""


def problems(*statuses: int) -> Responses:
    """The problem responses of a route: those that any may give, and these."""
    return {
        status: _declared(status, MEDIA_TYPE, Problem.__name__)
        for status in sorted({*_ALWAYS, *statuses})
    }


def openai_problems(*statuses: int) -> Responses:
    """Problems of a route that OpenAI's clients call."""
    return {
        status: _declared(status, "application/json", OpenAIError.__name__)
        for status in sorted({*_ALWAYS, *statuses})
    }


def install(app: FastAPI) -> None:
    """Describe the app at /openapi.json."""

    def describe() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(
                title=app.title,
                version=app.version,
                description=_DESCRIPTION,
                routes=app.routes,
            )
            _, models = models_json_schema(
                [
                    (Problem, "serialization"),
                    (OpenAIError, "serialization"),
                    (NewDocuments, "validation"),  # read by hand, so FastAPI does not know it
                    (ChatChunk, "serialization"),  # of a stream
                ],
                ref_template=_REF,
            )
            schema["components"].setdefault("schemas", {}).update(models["$defs"])
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = describe  # type: ignore[method-assign]


def _declared(status: int, media_type: str, model: str) -> dict[str, Any]:
    schema = {"$ref": _REF.format(model=model)}
    found: dict[str, Any] = {
        "description": _WORDS[status],
        "content": {media_type: {"schema": schema}},
    }
    if status in (429, 503):
        seconds = {"description": "Seconds to wait.", "schema": {"type": "integer"}}
        found["headers"] = {"Retry-After": seconds}
    return found
