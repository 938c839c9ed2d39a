"""The version of a document that the log has under an id."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection

from mplus_ray.pipeline.ledger.documents.description import COLUMNS, Description
from mplus_ray.pipeline.ledger.documents.quota import Claim
from mplus_ray.pipeline.ledger.schema import documents
from mplus_ray.pipeline.ledger.tenant_scope import TenantScope


@dataclass(frozen=True)
class Version:
    """A document that nobody asked to forget.

    Attributes:
        id, key: its internal id, and the one that the user knows.
        sha256: of its text, in hex.
        first_step, chunk_count: its steps in the log.
        metadata_bytes: as JSON.
        description: what is said of it.
    """

    id: str
    key: str
    sha256: str
    first_step: int
    chunk_count: int
    metadata_bytes: int
    description: Description

    @property
    def claim(self) -> Claim:
        """What it takes up."""
        return Claim(self.chunk_count, self.metadata_bytes, self.description)


def versions_of(
    connection: Connection, scope: TenantScope, keys: Collection[str]
) -> dict[str, Version]:
    """What the log has under these ids, by id."""
    d = documents.c
    sizes = (d.first_step, d.chunk_count, d.metadata_bytes)
    query = scope.select(documents, d.id, d.key, d.sha256, *sizes, *COLUMNS)
    found = connection.execute(query.where(d.key.in_(keys), d.forget.is_(None)))
    return {
        row.key: Version(
            row.id,
            row.key,
            row.sha256,
            row.first_step,
            row.chunk_count,
            row.metadata_bytes,
            Description.of(row),
        )
        for row in found
    }
