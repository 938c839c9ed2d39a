"""One request to a service: tried again while that helps, and what it refuses as an error."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import httpx

from mplus_ray.model.errors import MPlusError

_LATER = frozenset(
    [
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.INTERNAL_SERVER_ERROR,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    ]
)
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0  # seconds between tries, where nobody says
_MOST_SAID = 500  # characters of an answer that is no problem of ours


class ServiceError(MPlusError):
    """A service refused a request, or could not be reached.

    Attributes:
        status: of HTTP; None: there was no answer.
        problem: what the service said of it, as RFC 9457 has it; empty: nothing.
    """

    exit_code = 6

    def __init__(
        self, message: str, status: int | None = None, problem: dict[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.problem = problem or {}


@dataclass(frozen=True)
class Patience:
    """How long a request is tried again.

    Attributes:
        tries: that fail one after the other without an answer, or with one such as 503.
        seconds: the longest that one `Retry-After` is waited for.
        sleep: waits.
    """

    tries: int = 6
    seconds: float = 120.0
    sleep: Callable[[float], None] = time.sleep


def post(
    client: httpx.Client,
    path: str,
    patience: Patience,
    content: Callable[[], dict[str, Any]],
    accepted: Iterable[int] = (200, 202),
) -> tuple[int, dict[str, Any]]:
    """Send something, again where it did not arrive; returns the status and what was answered.

    Args:
        content: options of `httpx.Client.post` that carry the body, made anew for every try.
        accepted: statuses that are an answer.

    Raises:
        ServiceError: it was refused, or nobody answers.
    """
    wanted = frozenset(accepted)
    pause = _FIRST_PAUSE
    for left in range(patience.tries - 1, -1, -1):
        try:
            answer = client.post(path, **content())
        except httpx.TransportError as error:
            if not left:
                raise ServiceError(f"{client.base_url} does not answer: {error}") from error
        else:
            if answer.status_code in wanted:
                return answer.status_code, answer.json()
            refused = _refused(answer)
            after = _retry_after(answer)
            if answer.status_code not in _LATER or not left or (after or 0) > patience.seconds:
                raise refused
            pause = max(pause, after or 0.0)
        patience.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)
    raise AssertionError("the last try ends it")


def _retry_after(answer: httpx.Response) -> float | None:
    try:
        return float(answer.headers["retry-after"])
    except (KeyError, ValueError):
        return None


def _refused(answer: httpx.Response) -> ServiceError:
    try:
        problem = answer.json()
        said = str(problem["detail"])
    except (ValueError, KeyError, TypeError):
        problem, said = {}, answer.text[:_MOST_SAID]
    return ServiceError(
        f"the service refuses it ({answer.status_code}): {said}", answer.status_code, problem
    )
