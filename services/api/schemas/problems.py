"""Errors as RFC 9457 describes them, and as OpenAI's clients read them."""

from __future__ import annotations

from pydantic import Field

from mplus_ray.services.api.schemas.base import Response, example


class Reason(Response):
    """One thing that is wrong with a request.

    What was sent is not repeated: it may be a secret.
    """

    field: str = Field(description="Where, as dotted names.", examples=["body.question"])
    reason: str = Field(examples=["Field required"])


class FailedSource(Response):
    """A document that was left out, and why."""

    source: str = Field(examples=["report.pdf"])
    reason: str = Field(examples=["report.pdf is encrypted; save a copy without a password"])


class Refused(Response):
    """How many of one kind were left out for one reason; parts of documents too, such as pages
    without text.
    """

    kind: str = Field(description="A suffix, `line` or the like.", examples=[".psd", ".pdf page"])
    reason: str = Field(examples=["unsupported format"])
    count: int


class Problem(Response):
    """`application/problem+json`."""

    model_config = example(
        {
            "type": "urn:mplus:problem:document-not-found",
            "title": "Document not found",
            "status": 404,
            "detail": "there is no document 'm'; list the tenant's documents to find its id",
            "instance": "/v1/documents/m",
            "request_id": "4c9f6b0f5a4e4f5d8f8f3f0f0f0f0f0f",
        }
    )

    type: str = Field(description="Names the kind of problem.")
    title: str = Field(description="The kind in words.")
    status: int
    detail: str = Field(description="What was wrong this time, and what to do.")
    instance: str = Field(description="The path that was asked for.")
    request_id: str = Field(description="The same as in the response's header `x-request-id`.")
    errors: list[Reason] | None = Field(None, description="Of a request that is not valid.")
    failed: list[FailedSource] | None = Field(
        None, description="Of an upload of which nothing could be taken in."
    )
    refusals: list[Refused] | None = Field(
        None, description="Of the same: all of it, counted by kind and reason."
    )
    next_line: int | None = Field(
        None, description="Of the same: the first line that was not read, if there are more."
    )
    complete: bool | None = Field(None, description="Of the same: false if not all was read.")


class OpenAIErrorBody(Response):
    """What OpenAI's clients look for."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class OpenAIError(Response):
    """Errors under /v1/chat and /v1/models."""

    model_config = example(
        {
            "error": {
                "message": "there is no model 'gpt-5'; this service has mplus-tiny",
                "type": "invalid_request_error",
                "param": None,
                "code": "model_not_found",
            }
        }
    )

    error: OpenAIErrorBody
