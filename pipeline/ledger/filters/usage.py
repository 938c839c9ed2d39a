"""What documents take up: how many they are, their steps, and their metadata."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, case, func

from mplus_ray.pipeline.ledger.filters.filter import Filter
from mplus_ray.pipeline.ledger.filters.matching import matching
from mplus_ray.pipeline.ledger.schema import documents
from mplus_ray.pipeline.ledger.tenant_scope import TenantScope

FREE_METADATA = 1024  # bytes of a document's metadata that do not count: it is beside its rows


@dataclass(frozen=True)
class Usage:
    """What some documents take up.

    Attributes:
        documents: how many they are.
        steps: of all of them.
        metadata: bytes of it, without what is free.
    """

    documents: int = 0
    steps: int = 0
    metadata: int = 0

    @classmethod
    def of_one(cls, steps: int, metadata_bytes: int) -> Usage:
        """Of one document.

        Args:
            metadata_bytes: of its metadata, as JSON.
        """
        return cls(1, steps, max(0, metadata_bytes - FREE_METADATA))

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.documents + other.documents,
            self.steps + other.steps,
            self.metadata + other.metadata,
        )

    def __sub__(self, other: Usage) -> Usage:
        return self + Usage(-other.documents, -other.steps, -other.metadata)

    def nbytes(self, bytes_per_step: int) -> int:
        """As quotas in bytes count it: of rows, and of metadata."""
        return self.steps * bytes_per_step + self.metadata


def usage_columns() -> tuple[ColumnElement[Any], ...]:
    """Sums over rows of `documents`, in the order of the attributes of `Usage`."""
    beyond = documents.c.metadata_bytes - FREE_METADATA
    counted = documents.c.chunk_count, case((beyond > 0, beyond), else_=0)
    return func.count(), *(func.coalesce(func.sum(column), 0) for column in counted)


def read_usage(
    connection: Connection, scope: TenantScope, wanted: Filter | None = None
) -> tuple[Usage, int]:
    """What a tenant's documents take up, and their tokens; without those that are being forgotten.

    Args:
        wanted: only those that it leaves.
    """
    tokens = func.coalesce(func.sum(documents.c.tokens), 0)
    query = scope.select(documents, *usage_columns(), tokens).where(documents.c.forget.is_(None))
    if wanted is not None:
        query = query.where(*matching(scope, wanted))
    count, steps, metadata, read = connection.execute(query).one()
    return Usage(int(count), int(steps), int(metadata)), int(read)
