"""One request to a service: tried again while that helps, and what it refuses as an error."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel

from .base import Base
from .errors import UnreachableError, error_of
from .flow import Flow, Send, Sleep

M = TypeVar("M", bound=Base)
Options = dict[str, Any]

_LATER = frozenset([429, 500, 502, 503, 504])
_TURNED_AWAY = frozenset([429, 503])  # before anything was done
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0  # seconds between tries, where nobody says
_log = logging.getLogger("mplus_client")


@dataclass(frozen=True)
class Patience:
    """How long a request is tried again.

    Attributes:
        tries: that fail one after the other without an answer, or with one such as 503.
        seconds: the longest that one `Retry-After` is waited for.
    """

    tries: int = 6
    seconds: float = 120.0


def request(
    patience: Patience,
    method: str,
    path: str,
    options: Callable[[], Options] = dict,
    *,
    accepted: Iterable[int] = (),
    again: bool = True,
    stream: bool = False,
) -> Flow[httpx.Response]:
    """Send something, again where it did not arrive.

    Args:
        options: makes httpx's options of a request, its body among them, anew for every try.
        accepted: statuses that are an answer, besides those of success.
        again: whether doing it twice does no harm. Otherwise it is tried again only if it was
            turned away, or never got there.

    Raises:
        ApiError: it was refused.
        UnreachableError: nobody answers.
    """
    wanted = frozenset(accepted)
    pause = _FIRST_PAUSE
    for left in range(patience.tries - 1, -1, -1):
        try:
            answer: httpx.Response = yield Send(method, path, options(), stream)
        except httpx.TransportError as error:
            if not left or not (again or isinstance(error, httpx.ConnectError)):
                where = f"{method} {_address(error, path)}"
                raise UnreachableError(f"the service does not answer {where}: {error!r}") from error
            reason = repr(error)
        else:
            if answer.is_success or answer.status_code in wanted:
                return answer
            refused = error_of(answer)
            after = refused.retry_after or 0.0
            helps = answer.status_code in (_LATER if again else _TURNED_AWAY)
            if not helps or not left or after > patience.seconds:
                raise refused
            reason, pause = str(refused), max(pause, after)
        _log.info("%s %s is tried again in %.1f s: %s", method, path, pause, reason)
        yield Sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)
    raise AssertionError("the last try ends it")


def _address(error: httpx.TransportError, path: str) -> str:
    """Where a request went, as far as the error knows it; without a password and a query."""
    try:
        return str(error.request.url.copy_with(userinfo=b"", query=None))
    except RuntimeError:  # httpx's words for an error without a request
        return path


def call(
    patience: Patience,
    model: type[M],
    method: str,
    path: str,
    *,
    again: bool = True,
    **options: Any,
) -> Flow[M]:
    """Send something, and read the answer as a model.

    Args:
        options: of httpx; a body that can be sent twice.

    Raises:
        ApiError: it was refused.
        UnreachableError: nobody answers.
    """
    answer = yield from request(patience, method, path, lambda: options, again=again)
    return read(model, answer)


def read(model: type[M], answer: httpx.Response) -> M:
    """A response as a model that knows its request."""
    found = model.model_validate_json(answer.content)
    found._request_id = answer.headers.get("x-request-id")
    return found


def quoted(name: str) -> str:
    """A name as one part of a path, whatever is in it."""
    part = quote(name, safe="")
    return part.replace(".", "%2E") if not part.strip(".") else part


def given(**fields: Any) -> Options:
    """The fields of a body that are not None, models as they are sent."""
    return {name: plain(value) for name, value in fields.items() if value is not None}


def plain(value: Any) -> Any:
    """A value as JSON has it."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_none=True, by_alias=True)
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return value
