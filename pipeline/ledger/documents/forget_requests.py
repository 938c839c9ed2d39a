"""Forgetting documents: the request, and a receipt for each stage of it."""

from __future__ import annotations

import builtins
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, Row, Select, bindparam, func

from mplus_ray.model.errors import DocumentNotFoundError, InvalidInputError
from mplus_ray.pipeline.ledger.documents.documents import unknown_document
from mplus_ray.pipeline.ledger.filters.filter import Filter
from mplus_ray.pipeline.ledger.filters.matching import matching
from mplus_ray.pipeline.ledger.schema import documents, forgets, heads
from mplus_ray.pipeline.ledger.tenant_scope import TenantScope
from mplus_ray.pipeline.ledger.webhooks.events import tell_of_receipts
from mplus_ray.pipeline.ledger.webhooks.finished_jobs import tell_of_jobs

Reason = Literal["asked", "replaced", "expired"]


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
        reason: `asked`; `replaced`: another text took its place; `expired`: its time was over.
        documents: how many it is about; of several, `document` is empty and the times are those of
            the last.
    """

    id: str
    document: str
    requested: float
    masked: float
    rebuilt: float | None
    purged: float | None
    reason: Reason = "asked"
    documents: int = 1


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

    def request_all(self, wanted: Filter) -> Receipt:
        """Have every document forgotten that a filter leaves; they are masked on return, in one
        transaction. The receipt is of all of them together.

        Raises:
            InvalidInputError: the filter says nothing.
        """
        if not wanted:
            raise InvalidInputError(
                "the filter says nothing, so all documents would be forgotten; name some, or "
                "delete the tenant"
            )
        batch = uuid.uuid4().hex
        with self._scope.writing() as connection:
            chosen = _select_kept(self._scope).where(*matching(self._scope, wanted))
            found = [(row.id, row.key) for row in connection.execute(chosen)]
            now = mark_all(connection, self._scope, found, "asked", batch)
        done = None if found else now
        return Receipt(batch, "", now, now, done, done, documents=len(found))

    def expire(self) -> int:
        """Have the documents forgotten whose time is over; returns how many there were."""
        due = _select_kept(self._scope).where(documents.c.expires_at <= self._scope.clock())
        with self._scope.reading() as connection:
            # In no order: with one, all documents would be read in that.
            if connection.execute(due.order_by(None).limit(1)).first() is None:
                return 0
        with self._scope.writing() as connection:
            found = [(row.id, row.key) for row in connection.execute(due)]
            mark_all(connection, self._scope, found, "expired")
        return len(found)

    def receipt(self, earlier: Receipt) -> Receipt:
        """How far a request is now, of one document or of several."""
        if not earlier.documents:  # a filter left nothing
            return earlier
        with self._scope.reading() as connection:
            found = batches(connection, self._scope, [earlier.id])
        return found[0] if found else self.get(earlier.id).receipt

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
            done = connection.execute(
                self._scope.update(forgets)
                .where(forgets.c.id.in_(builtins.list(ids)))
                .where(forgets.c.rebuilt.is_not(None), forgets.c.purged.is_(None))
                .values(purged=self._scope.clock())
                .returning(forgets.c.id, forgets.c.key, forgets.c.reason, forgets.c.batch)
            )
            rows = [dict(row) for row in done.mappings()]
            tell_of_receipts(connection, self._scope, "forget.done", rows)


def mark_forgotten(
    connection: Connection,
    scope: TenantScope,
    document: str,
    key: str,
    reason: Reason = "asked",
) -> Forget:
    """Mask a document from this transaction on; the document has no request yet."""
    mark_all(connection, scope, [(document, key)], reason)
    mine = scope.select(documents, documents.c.forget).where(documents.c.id == document)
    request = connection.execute(mine).scalar_one()
    return _forget(connection.execute(scope.select_by_ids(forgets, [request])).one())


def mark_all(
    connection: Connection,
    scope: TenantScope,
    found: Sequence[tuple[str, str]],
    reason: Reason,
    batch: str | None = None,
) -> float:
    """Mask documents that have no request yet, from this transaction on; returns the time.

    Args:
        found: internal ids and keys.
        batch: the id of what all of them were asked for with.
    """
    now = scope.clock()
    said = {"requested": now, "masked": now, "reason": reason, "batch": batch}
    rows = [{"id": uuid.uuid4().hex, "document": one, "key": key, **said} for one, key in found]
    if not rows:
        return now
    scope.insert(connection, forgets, rows)
    one = scope.update(documents).where(documents.c.id == bindparam("of"))
    marks = [{"of": row["document"], "by": row["id"]} for row in rows]
    connection.execute(one.values(forget=bindparam("by")), marks)
    # Caches of read plans have to see the mask before the next answer.
    connection.execute(scope.update(heads).values(version=heads.c.version + 1))
    tell_of_receipts(connection, scope, "forget.requested", rows)
    tell_of_jobs(connection, scope, [str(row["document"]) for row in rows])
    return now


def _select_kept(scope: TenantScope) -> Select[Any]:
    """Documents that nobody asked to forget."""
    query = scope.select(documents, documents.c.id, documents.c.key)
    return query.where(documents.c.forget.is_(None)).order_by(documents.c.first_step)


def to_receipt(row: Row[Any]) -> Receipt:
    times = row.requested, row.masked, row.rebuilt, row.purged
    return Receipt(row.id, row.key, *times, row.reason)


def _forget(row: Row[Any]) -> Forget:
    return Forget(to_receipt(row), row.document)


def batches(connection: Connection, scope: TenantScope, ids: Sequence[str]) -> list[Receipt]:
    """Receipts of what was asked for by filters; a stage is done when it is of all documents."""
    f = forgets.c
    columns = (
        f.batch,
        func.count().label("documents"),
        func.min(f.requested).label("requested"),
        func.max(f.masked).label("masked"),
        func.max(f.rebuilt).label("last_rebuilt"),
        func.max(f.purged).label("last_purged"),
        func.count(f.rebuilt).label("rebuilt"),
        func.count(f.purged).label("purged"),
    )
    query = scope.select(forgets, *columns).where(f.batch.in_(ids)).group_by(f.batch)
    found = []
    for row in connection.execute(query):
        rebuilt = row.last_rebuilt if row.rebuilt == row.documents else None
        purged = row.last_purged if row.purged == row.documents else None
        times = row.requested, row.masked, rebuilt, purged
        found.append(Receipt(row.batch, "", *times, documents=row.documents))
    return found
