"""What filters look at, written and read beside a document's row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from sqlalchemy import Connection

from mplus_ray.pipeline.ledger.filters.attributes import attributes_of, own_metadata
from mplus_ray.pipeline.ledger.schema import attributes
from mplus_ray.pipeline.ledger.tenant_scope import TenantScope
from mplus_ray.pipeline.parsing.document import Details


class Detailed(Protocol):
    """A row that says what its owner says of a document."""

    @property
    def session(self) -> str | None: ...
    @property
    def tags(self) -> Sequence[str]: ...
    @property
    def occurred_at(self) -> float | None: ...
    @property
    def expires_at(self) -> float | None: ...


def details_of(row: Detailed) -> Details:
    """What a document's row, or its record in an archive, says of it."""
    return Details(row.session, tuple(row.tags), row.occurred_at, row.expires_at)


def index_document(
    connection: Connection,
    scope: TenantScope,
    document: str,
    metadata: Mapping[str, Any],
    details: Details,
) -> None:
    """Have filters find a document.

    Args:
        document: its internal id.
        metadata: as the ledger keeps it.
    """
    scope.insert(connection, attributes, rows_of(document, metadata, details))


def reindex_document(
    connection: Connection,
    scope: TenantScope,
    document: str,
    metadata: Mapping[str, Any],
    details: Details,
) -> None:
    """Have filters find a document by what is said of it now; see `index_document`."""
    connection.execute(scope.delete_found(attributes, attributes.c.document == document))
    index_document(connection, scope, document, metadata, details)


def rows_of(document: str, metadata: Mapping[str, Any], details: Details) -> list[dict[str, Any]]:
    """Rows of `attributes`, see `index_document`."""
    rows = attributes_of(own_metadata(metadata), details)
    return [{**row, "document": document} for row in rows]
