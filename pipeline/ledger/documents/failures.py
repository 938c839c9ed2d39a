"""Sources that could not be read as documents, kept until they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mplus_ray.pipeline.ledger.schema import failures
from mplus_ray.pipeline.ledger.tenant_scope import TenantScope
from mplus_ray.pipeline.ledger.webhooks.events import tell
from mplus_ray.pipeline.parsing.document_id import id_of_name, storable


@dataclass(frozen=True)
class FailedDocument:
    """A source that could not be read as a document, and why; `created` in seconds.

    Attributes:
        source: which it was.
        reason: for the user.
        created: seconds since the epoch.
    """

    source: str
    reason: str
    created: float


class Failures:
    """Those of one tenant."""

    def __init__(self, scope: TenantScope) -> None:
        self._scope = scope

    def list(self) -> Sequence[FailedDocument]:
        """Sources that could not be read, oldest first."""
        query = self._scope.select(failures).order_by(failures.c.created, failures.c.source)
        with self._scope.reading() as connection:
            rows = connection.execute(query).all()
        return [FailedDocument(row.source, row.reason, row.created) for row in rows]

    def add(self, source: str, reason: str) -> None:
        """Note that a source could not be read; a later note of it replaces this one."""
        name, why = id_of_name(source), storable(reason)
        with self._scope.writing() as connection:
            connection.execute(self._scope.delete(failures).where(failures.c.source == name))
            row = {"source": name, "reason": why, "created": self._scope.clock()}
            self._scope.insert(connection, failures, [row])
            tell(connection, self._scope, "document.failed", {"source": name})

    def clear(self, source: str) -> None:
        """The source was read after all; one without a note is left alone."""
        with self._scope.writing() as connection:
            connection.execute(
                self._scope.delete(failures).where(failures.c.source == id_of_name(source))
            )
