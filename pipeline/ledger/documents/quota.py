"""How much a tenant may have, and how much of it is left."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, case, func

from mplus_ray.model.errors import QuotaError
from mplus_ray.pipeline.ledger.schema import documents
from mplus_ray.pipeline.ledger.tenant_scope import TenantScope

FREE_METADATA = 1024  # bytes of a document's metadata that do not count: it is beside its rows


class QuotaLeft:
    """What a tenant's quotas leave. Documents that are being forgotten do not count: they are on
    their way out.
    """

    def __init__(self, limits: Row[Any], count: int, steps: int, metadata: int) -> None:
        self._limits = limits
        self._count = count
        self._steps = steps
        self._metadata = metadata

    @classmethod
    def of(cls, connection: Connection, scope: TenantScope) -> QuotaLeft:
        """As of now, for a transaction that keeps other writers of the tenant away."""
        limits = scope.lock(connection)
        if limits.max_documents is None and limits.max_bytes is None:
            return cls(limits, 0, 0, 0)
        beyond = documents.c.metadata_bytes - FREE_METADATA
        counted = documents.c.chunk_count, case((beyond > 0, beyond), else_=0)
        sums = func.count(), *(func.coalesce(func.sum(column), 0) for column in counted)
        query = scope.select(documents, *sums).where(documents.c.forget.is_(None))
        count, steps, metadata = connection.execute(query).one()
        return cls(limits, int(count), int(steps), int(metadata))

    @property
    def ttl(self) -> float | None:
        """Seconds after which the tenant's documents are to be forgotten."""
        return None if self._limits.ttl is None else float(self._limits.ttl)

    def take(self, steps: int, metadata: int, replaced: tuple[int, int] | None = None) -> None:
        """Have a document of so many steps, and so many bytes of metadata, take up room.

        Args:
            replaced: the same of the version whose place it takes, if it takes one's.

        Raises:
            QuotaError: there is none for so many steps, or for another document; nothing
                was taken.
        """
        limits = self._limits
        count = self._count + (replaced is None)
        old_steps, old_metadata = replaced or (0, 0)
        metadata, old_metadata = (max(0, n - FREE_METADATA) for n in (metadata, old_metadata))
        total = self._steps + steps - old_steps
        described = self._metadata + metadata - old_metadata
        nbytes = total * limits.bytes_per_step + described
        for limit, value, unit, option in (
            (limits.max_documents, count, "documents", "--max-documents"),
            (limits.max_bytes, nbytes, "bytes of memory and metadata", "--max-bytes"),
        ):
            if limit is not None and value > limit:
                raise QuotaError(
                    f"tenant {limits.name!r} may have {limit} {unit}, with this document it would "
                    f"have {value}; forget others first, or raise the limit with "
                    f"`mplus tenants set {limits.name} {option} {value}`"
                )
        self._count, self._steps, self._metadata = count, total, described
