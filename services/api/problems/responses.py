"""Whatever goes wrong, as one kind of response: RFC 9457 problem details.

A problem never has a traceback, the text of a database, a path of this machine or anything of
another tenant. Under /v1/ errors look as OpenAI's clients expect them, except on routes of our own
(`openai_paths`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from mplus_ray.model.errors import MPlusError, RetryLaterError, UnauthorizedError
from mplus_ray.services.api.problems.errors import NothingTakenInError, ParameterError
from mplus_ray.services.api.problems.openai_paths import advice, speaks_openai
from mplus_ray.services.api.problems.reasons import reason_of
from mplus_ray.services.api.problems.statuses import UNEXPECTED, status_of
from mplus_ray.services.api.schemas.problems import OpenAIError, OpenAIErrorBody, Problem, Reason

MEDIA_TYPE = "application/problem+json"
_TYPE = re.compile(r"body|str|int|float|bool|(list|constrained-\w+)(\[.*\])?")
_REASONS = 20  # reasons of one request
_UNREAD = "There was an error parsing the body"  # FastAPI's words, of whatever kind
_RETRY = 5.0  # seconds, where nobody knows better


@dataclass(frozen=True)
class ProblemDetails:
    """What is to be said of something that went wrong.

    Attributes:
        kind: kebab case, the end of the problem's type.
        status: of HTTP.
        detail: for the sender.
        headers: of the response, besides its type.
        errors: field by field, of a request that is not valid.
        failed: sources of which none could be taken in.
        refusals: how many these are, by kind and reason.
        next_line: the first line of a stream that was not read.
        complete: whether all of it was read; None: it was no upload.
    """

    status: int
    kind: str
    detail: str
    headers: Mapping[str, str]
    errors: Sequence[Reason] = ()
    failed: Sequence[Any] = ()
    refusals: Sequence[Any] = ()
    next_line: int | None = None
    complete: bool | None = None

    @property
    def title(self) -> str:
        return self.kind.replace("-", " ").capitalize()


_INTERNAL = ProblemDetails(500, "internal-error", UNEXPECTED, {})


def describe(error: Exception) -> ProblemDetails:
    """Any error, as far as its sender may know it."""
    if isinstance(error, RequestValidationError):
        found = error.errors()[:_REASONS]
        reasons = [_reason(each) for each in found]
        said = "; ".join(f"{one.field}: {one.reason}" for one in reasons[:3])
        return ProblemDetails(
            422, "invalid-request", f"the request is not valid: {said}", {}, reasons
        )
    if isinstance(error, HTTPException):
        return _http(error)
    if isinstance(error, MPlusError):
        return _own(error)
    return _INTERNAL


def respond(trouble: ProblemDetails, path: str, request_id: str) -> Response:
    """A problem as a response."""
    if speaks_openai(path):
        content = openai_body(trouble).model_dump()
        return JSONResponse(content, trouble.status, dict(trouble.headers))
    body = to_problem(trouble, path, request_id).model_dump(exclude_none=True)
    return JSONResponse(body, trouble.status, dict(trouble.headers), MEDIA_TYPE)


def to_problem(trouble: ProblemDetails, path: str, request_id: str) -> Problem:
    """A problem as it is written down."""
    return Problem(
        type=f"urn:mplus:problem:{trouble.kind}",
        title=trouble.title,
        status=trouble.status,
        detail=trouble.detail,
        instance=path,
        request_id=request_id,
        errors=list(trouble.errors) or None,
        failed=list(trouble.failed) or None,
        refusals=list(trouble.refusals) or None,
        next_line=trouble.next_line,
        complete=trouble.complete,
    )


def install(app: FastAPI) -> None:
    """Have every error that a route lets out answered here."""

    async def answer(request: Request, error: Exception) -> Response:
        path = request.url.path
        trouble = describe(error)
        if trouble.status == HTTPStatus.NOT_FOUND and isinstance(error, HTTPException):
            trouble = _nowhere(trouble, request.scope.get("asked", request.method), path)
        return respond(trouble, path, request.state.request_id)

    for kind in (MPlusError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, answer)


def _nowhere(trouble: ProblemDetails, method: str, path: str) -> ProblemDetails:
    """What is to be said of a path that there is not, where OpenAI's clients ask."""
    if not speaks_openai(path):
        return trouble
    detail = f"there is no {method} {path[:200]} here; {advice(path)}"
    return replace(trouble, kind="unknown-url", detail=detail)


def _own(error: MPlusError) -> ProblemDetails:
    status = status_of(type(error))
    if status.code == HTTPStatus.INTERNAL_SERVER_ERROR:
        return _INTERNAL
    kind = _kebab(type(error).__name__.removesuffix("Error"))
    headers: dict[str, str] = {}
    if isinstance(error, UnauthorizedError):
        headers = {"www-authenticate": 'Bearer realm="mplus"'}
    elif status.later:
        headers = _later(error.retry_after if isinstance(error, RetryLaterError) else _RETRY)
    found = ProblemDetails(status.code, kind, status.detail or str(error), headers)
    if isinstance(error, ParameterError):
        return replace(found, errors=[Reason(field=error.param, reason=str(error))])
    if isinstance(error, NothingTakenInError):
        return replace(
            found,
            failed=error.failed,
            refusals=error.refusals,
            next_line=error.next_line,
            complete=error.complete,
        )
    return found


def _http(error: HTTPException) -> ProblemDetails:
    status = HTTPStatus(error.status_code)
    details = {
        HTTPStatus.NOT_FOUND: "there is nothing at this path; /openapi.json lists what there is",
        HTTPStatus.METHOD_NOT_ALLOWED: "this path does not take that method",
        HTTPStatus.BAD_REQUEST: "the body cannot be read as what its content type says",
    }
    said = str(error.detail)
    detail = details.get(status, said) if said in (status.phrase, _UNREAD) else said
    return ProblemDetails(status, _kebab(status.phrase), detail, error.headers or {})


def openai_body(trouble: ProblemDetails) -> OpenAIError:
    """A problem as OpenAI's clients read it."""
    kinds = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
    default = "invalid_request_error" if trouble.status < 500 else "server_error"
    codes = {401: "invalid_api_key", 429: "rate_limit_exceeded"}
    first = _plain(trouble.errors[0].field) if trouble.errors else None
    body = OpenAIErrorBody(
        message=trouble.detail,
        type=kinds.get(trouble.status, default),
        param=first or None,
        code=codes.get(trouble.status, trouble.kind.replace("-", "_")),
    )
    return OpenAIError(error=body)


def _plain(field: str) -> str:
    """Where in the request, without the types that something there might have been of."""
    parts = field.removeprefix("body.").split(".")
    return ".".join(part for part in parts if not _TYPE.fullmatch(part))


def _reason(found: Mapping[str, Any]) -> Reason:
    """Where and why."""
    where = ".".join(str(part)[:100] for part in found["loc"])
    return Reason(field=where, reason=reason_of(found))


def _later(seconds: float) -> dict[str, str]:
    return {"retry-after": str(max(1, math.ceil(min(seconds, 86_400))))}


def _kebab(name: str) -> str:
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name.replace(" ", "-"))
    return re.sub(r"[^a-z0-9]+", "-", parted.lower()).strip("-")
