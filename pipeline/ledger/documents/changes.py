"""What is said of a document that is there, changed while its text and its memory stay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from mplus_ray.pipeline.ledger.documents.description import Description
from mplus_ray.pipeline.ledger.documents.documents import unknown_document
from mplus_ray.pipeline.ledger.documents.quota import Claim, QuotaLeft
from mplus_ray.pipeline.ledger.documents.versions import versions_of
from mplus_ray.pipeline.ledger.filters.index import reindex_document
from mplus_ray.pipeline.ledger.schema import documents, heads
from mplus_ray.pipeline.ledger.tenant_scope import TenantScope
from mplus_ray.pipeline.parsing.limits import check_details, check_metadata


def change_document(scope: TenantScope, key: str, changes: Mapping[str, Any]) -> None:
    """Change what is said of a document, see `TenantLog.change`."""
    with scope.writing() as connection:
        current = versions_of(connection, scope, {key}).get(key)
        if current is None:
            raise unknown_document(key)
        said = current.description.patched(changes)
        size = check_metadata(said.shown)
        check_details(said.details)
        claim = Claim(current.chunk_count, size, said)
        QuotaLeft.of(connection, scope).take(claim, current.claim)
        write_description(connection, scope, current.id, said, size)
        scope.set(connection, used=scope.clock())


def write_description(
    connection: Connection, scope: TenantScope, document: str, said: Description, size: int
) -> None:
    """Say something of a document from this transaction on.

    Args:
        document: its internal id.
        size: of the metadata, in bytes as JSON.
    """
    mine = scope.update(documents).where(documents.c.id == document)
    connection.execute(mine.values(metadata_bytes=size, **said.columns))
    reindex_document(connection, scope, document, said.metadata, said.details)
    # Caches of what a filter leaves have to look again.
    connection.execute(scope.update(heads).values(version=heads.c.version + 1))
