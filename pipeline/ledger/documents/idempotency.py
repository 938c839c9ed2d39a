"""Requests that are done once, however often they are sent: what was answered is kept a day."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row

from mplus_ray.model.errors import ConflictError, InvalidInputError
from mplus_ray.pipeline.ledger.schema import answers
from mplus_ray.pipeline.ledger.tenant_scope import TenantScope

_KEPT_SECONDS = 24 * 3600.0  # seconds
_AT_WORK = 300.0  # seconds after which the first request is taken for dead
_MAX_KEY = 255


@dataclass(frozen=True)
class StoredResponse:
    """What a request was answered with: an HTTP status and JSON.

    Attributes:
        status: of HTTP.
        response: the body.
    """

    status: int
    response: Any


class Answered:
    """The idempotency keys of one tenant.

    A request with a key calls `claim`; if that returns an answer, it is sent again. Otherwise the
    request is carried out, and then `keep` takes its answer, or `drop` gives the key free because
    it failed and may be tried again.
    """

    def __init__(self, scope: TenantScope) -> None:
        self._scope = scope

    def claim(self, key: str, digest: str) -> StoredResponse | None:
        """The answer that was given under this key; None if it is the caller's to give.

        Args:
            key: as the client sent it, 1 to 255 printable characters.
            digest: of the request's route and body, at most 64 characters.

        Raises:
            InvalidInputError: the key is impossible.
            ConflictError: the key stands for another request, or the first one is still at work.
        """
        if not key or len(key) > _MAX_KEY or not key.isprintable():
            raise InvalidInputError(
                f"an idempotency key has 1 to {_MAX_KEY} printable characters; send another one"
            )
        scope, now = self._scope, self._scope.clock()
        dead = answers.c.status.is_(None) & (answers.c.created <= now - _AT_WORK)
        with scope.writing() as connection:
            old = answers.c.created <= now - _KEPT_SECONDS
            connection.execute(scope.delete(answers).where(old | dead))
            row = connection.execute(self._named(key)).one_or_none()
            if row is not None:
                return _given(row, digest)
            claimed = {"key": key, "digest": digest, "status": None, "response": None}
            scope.insert(connection, answers, [{**claimed, "created": now}])
        return None

    def keep(self, key: str, digest: str, status: int, response: Any) -> None:
        """Note what a claimed request was answered with, for a day from the claim on."""
        given = {"status": status, "response": json.dumps(response)}
        mine = (answers.c.key == key) & (answers.c.digest == digest)
        with self._scope.writing() as connection:
            connection.execute(self._scope.update(answers).where(mine).values(given))

    def drop(self, key: str, digest: str) -> None:
        """A claimed request failed; the next one with its key is carried out."""
        mine = (answers.c.key == key) & (answers.c.digest == digest) & answers.c.status.is_(None)
        with self._scope.writing() as connection:
            connection.execute(self._scope.delete(answers).where(mine))

    def _named(self, key: str) -> Any:
        return self._scope.select(answers).where(answers.c.key == key)


def _given(row: Row[Any], digest: str) -> StoredResponse:
    if row.digest != digest:
        raise ConflictError(
            "this idempotency key was sent with another request before; use a new key for a new "
            "request"
        )
    if row.status is None:
        raise ConflictError(
            "the first request with this idempotency key is still at work; send it again in a "
            "moment"
        )
    return StoredResponse(row.status, json.loads(row.response))
