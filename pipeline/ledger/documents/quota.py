"""How much a tenant may have, and how much of it is left."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, func

from mplus_ray.model.errors import QuotaError
from mplus_ray.pipeline.ledger.schema import documents
from mplus_ray.pipeline.ledger.tenant_scope import TenantScope


class Room:
    """What a tenant's quotas leave. Documents that are being forgotten do not count: they are on
    their way out.
    """

    def __init__(self, limits: Row[Any], count: int, steps: int) -> None:
        self._limits = limits
        self._count = count
        self._steps = steps

    @classmethod
    def of(cls, connection: Connection, scope: TenantScope) -> Room:
        """As of now, for a transaction that keeps other writers of the tenant away."""
        limits = scope.lock(connection)
        if limits.max_documents is None and limits.max_bytes is None:
            return cls(limits, 0, 0)
        sums = func.count(), func.coalesce(func.sum(documents.c.chunk_count), 0)
        query = scope.select(documents, *sums).where(documents.c.forget.is_(None))
        count, steps = connection.execute(query).one()
        return cls(limits, int(count), int(steps))

    def take(self, steps: int, replaced: int | None = None) -> None:
        """Have a document of so many steps take up room.

        Args:
            replaced: steps of the version whose place it takes, if it takes one's.

        Raises:
            QuotaError: there is none for so many steps, or for another document; nothing
                was taken.
        """
        limits = self._limits
        count = self._count + (replaced is None)
        total = self._steps + steps - (replaced or 0)
        for limit, value, unit, option in (
            (limits.max_documents, count, "documents", "--max-documents"),
            (limits.max_bytes, total * limits.bytes_per_step, "bytes of memory", "--max-bytes"),
        ):
            if limit is not None and value > limit:
                raise QuotaError(
                    f"tenant {limits.name!r} may have {limit} {unit}, with this document it would "
                    f"have {value}; forget others first, or raise the limit with "
                    f"`mplus tenants set {limits.name} {option} {value}`"
                )
        self._count, self._steps = count, total
