"""Forgetting documents: the request, and a receipt for each stage of it."""

from __future__ import annotations

import builtins
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row

from mplus_ray.model.errors import DocumentNotFoundError
from mplus_ray.pipeline.ledger.documents.documents import unknown_document
from mplus_ray.pipeline.ledger.schema import documents, forgets, heads
from mplus_ray.pipeline.ledger.tenant_scope import TenantScope


@dataclass(frozen=True)
class Receipt:
    """When each stage of forgetting was done, in seconds since the epoch; None while it is not.

    Attributes:
        document: the id that the user knows.
        masked: from then on no answer draws on it.
        rebuilt: from then on the memory is as if it had never come, and its text is deleted.
        purged: from then on no file holds anything made from it.
        id: of the request.
        requested: when it was made.
    """

    id: str
    document: str
    requested: float
    masked: float
    rebuilt: float | None
    purged: float | None


@dataclass(frozen=True)
class Forget:
    """A request and the internal id of its document, which a build has to leave out.

    Attributes:
        receipt: how far it is.
        document: the internal id.
    """

    receipt: Receipt
    document: str


class Forgets:
    """The forget requests of one tenant."""

    def __init__(self, scope: TenantScope) -> None:
        self._scope = scope

    def request(self, key: str) -> Forget:
        """Have a document forgotten; it is masked on return. Asking twice is asking once.

        Raises:
            DocumentNotFoundError: the tenant neither has nor forgot such a document.
        """
        current = self._scope.select(documents, documents.c.id).where(
            documents.c.key == key, documents.c.forget.is_(None)
        )
        earlier = (
            self._scope.select(forgets)
            .where(forgets.c.key == key)
            .order_by(forgets.c.requested.desc())
            .limit(1)
        )
        with self._scope.writing() as connection:
            document = connection.execute(current).scalar_one_or_none()
            if document is not None:
                return mark_forgotten(connection, self._scope, document, key)
            row = connection.execute(earlier).one_or_none()
            if row is None:
                raise unknown_document(key)
            return _forget(row)

    def get(self, forget_id: str) -> Forget:
        """The request of that id.

        Raises:
            DocumentNotFoundError: there is none.
        """
        query = self._scope.select(forgets).where(forgets.c.id == forget_id)
        with self._scope.reading() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            raise DocumentNotFoundError(f"there is no forget request {forget_id!r}")
        return _forget(row)

    def list(self) -> builtins.list[Forget]:
        """All requests, oldest first."""
        query = self._scope.select(forgets).order_by(forgets.c.requested, forgets.c.id)
        with self._scope.reading() as connection:
            return [_forget(row) for row in connection.execute(query)]

    def pending(self) -> builtins.list[Forget]:
        """Those that are not purged yet, oldest first."""
        return [forget for forget in self.list() if forget.receipt.purged is None]

    def mark_purged(self, ids: Iterable[str]) -> None:
        """Nothing made from these documents is left; only what is rebuilt can be purged."""
        with self._scope.writing() as connection:
            connection.execute(
                self._scope.update(forgets)
                .where(forgets.c.id.in_(builtins.list(ids)))
                .where(forgets.c.rebuilt.is_not(None), forgets.c.purged.is_(None))
                .values(purged=self._scope.clock())
            )


def mark_forgotten(connection: Connection, scope: TenantScope, document: str, key: str) -> Forget:
    """Mask a document from this transaction on; the document has no request yet."""
    now = scope.clock()
    receipt = Receipt(uuid.uuid4().hex, key, now, now, None, None)
    row = {"id": receipt.id, "document": document, "key": key, "requested": now, "masked": now}
    scope.insert(connection, forgets, [row])
    connection.execute(
        scope.update(documents).where(documents.c.id == document).values(forget=receipt.id)
    )
    # Whoever kept what readers are told has to see the mask before the next answer.
    connection.execute(scope.update(heads).values(version=heads.c.version + 1))
    return Forget(receipt, document)


def to_receipt(row: Row[Any]) -> Receipt:
    return Receipt(row.id, row.key, row.requested, row.masked, row.rebuilt, row.purged)


def _forget(row: Row[Any]) -> Forget:
    return Forget(to_receipt(row), row.document)
