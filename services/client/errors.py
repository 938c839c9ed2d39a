"""What can go wrong between a client and the service, as one tree of exceptions."""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, NoReturn

import httpx
from pydantic import ValidationError

from .models import Job, Problem

_MOST_SAID = 500  # characters of an answer that is no problem of ours


class ClientError(Exception):
    """Anything that this package raises by itself.

    Attributes:
        status: of HTTP; None: there was no answer.
        request_id: that the service's log has it under; None: there is none.
        problem: what the service said of it, as RFC 9457 has it; None: nothing.
        retry_after: seconds after which the same may succeed; None: nobody said.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        request_id: str | None = None,
        problem: Problem | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.request_id = request_id
        self.problem = problem
        self.retry_after = retry_after


class UnreachableError(ClientError):
    """Nobody answers at the URL, or the connection broke, after every try."""


class IncompleteError(ClientError):
    """The service stopped in the middle of what was sent, and does not go on."""


class WaitTimeoutError(ClientError):
    """Something did not come about in the time that was given; it goes on nevertheless.

    Attributes:
        job: as it was at last.
    """

    def __init__(self, message: str, job: Job) -> None:
        super().__init__(message)
        self.job = job


class JobFailedError(ClientError):
    """The work of a job ended without success.

    Attributes:
        job: with the reasons.
    """

    def __init__(self, message: str, job: Job) -> None:
        super().__init__(message)
        self.job = job


class ApiError(ClientError):
    """The service refused a request; `problem` says why."""


class AuthenticationError(ApiError):
    """401: the key is missing, unknown, revoked or out of time."""


class PermissionDeniedError(ApiError):
    """403: the key has not the scope."""


class NotFoundError(ApiError):
    """404: there is no such thing for this tenant."""


class ConflictError(ApiError):
    """409: it does not go together with what is there."""


class TooLargeError(ApiError):
    """413: a body over its limit, or the tenant's quota is full."""


class InvalidRequestError(ApiError):
    """400, 415 or 422: `problem.errors` or `problem.failed` say what is wrong, one by one."""


class RateLimitError(ApiError):
    """429: too much in a minute, or at once, after every try."""


class ServerError(ApiError):
    """500 and above: the service cannot answer, or not now, after every try."""


_KINDS: Mapping[int, type[ApiError]] = {
    400: InvalidRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    413: TooLargeError,
    415: InvalidRequestError,
    422: InvalidRequestError,
    429: RateLimitError,
}


def error_of(answer: httpx.Response) -> ApiError:
    """What a response that is no success says, whose body was read."""
    try:
        body = answer.json()
    except ValueError:
        body = None
    said = body if isinstance(body, dict) else {"detail": answer.text[:_MOST_SAID]}
    return _error(said, answer.status_code, answer.headers.get("x-request-id"), _after(answer))


def raise_event(said: Mapping[str, Any], request_id: str | None) -> NoReturn:
    """Raise what an event of a stream says that went wrong after the stream had begun.

    Raises:
        ApiError: always.
    """
    status = said.get("status")
    raise _error(said, status if isinstance(status, int) else 500, request_id, None)


def _error(
    said: Mapping[str, Any], status: int, request_id: str | None, after: float | None
) -> ApiError:
    kind = _KINDS.get(status, ServerError if status >= 500 else ApiError)
    problem: Problem | None
    try:
        problem = Problem.model_validate(said)
        detail: object = problem.detail
    except ValidationError:
        problem = None
        openai = said.get("error")  # the shape of errors that OpenAI's clients read
        detail = openai.get("message") if isinstance(openai, dict) else said.get("detail")
    return kind(
        f"the service refuses it ({status}): {detail}",
        status=status,
        request_id=request_id,
        problem=problem,
        retry_after=after,
    )


def _after(answer: httpx.Response) -> float | None:
    """`Retry-After` in seconds, whichever of its two forms it has."""
    text = answer.headers.get("retry-after", "")
    try:
        return max(float(text), 0.0)
    except ValueError:
        pass
    try:
        then = parsedate_to_datetime(text)
        now = parsedate_to_datetime(answer.headers["date"])  # the service's own clock
        return max((then - now).total_seconds(), 0.0)
    except (KeyError, ValueError, TypeError):
        return None
