"""How much a tenant may have, and how much of it is left."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row

from mplus_ray.model.errors import QuotaError
from mplus_ray.pipeline.ledger.documents.description import Description
from mplus_ray.pipeline.ledger.filters.attribute_quotas import AttributesLeft, Pair
from mplus_ray.pipeline.ledger.filters.index import rows_of
from mplus_ray.pipeline.ledger.filters.usage import Usage, read_usage
from mplus_ray.pipeline.ledger.tenant_scope import TenantScope


@dataclass(frozen=True)
class Claim:
    """What a document takes up, and of whom.

    Attributes:
        steps: of it.
        metadata_bytes: of its metadata, as JSON.
        description: that says its session, tags and metadata.
    """

    steps: int
    metadata_bytes: int
    description: Description

    @property
    def usage(self) -> Usage:
        """As it is counted."""
        return Usage.of_one(self.steps, self.metadata_bytes)


class QuotaLeft:
    """What a tenant's quotas leave, and those of its sessions, tags and fields. Documents that are
    being forgotten do not count: they are on their way out.
    """

    def __init__(self, limits: Row[Any], used: Usage, attributes: AttributesLeft) -> None:
        self._limits = limits
        self._used = used
        self._attributes = attributes

    @classmethod
    def of(
        cls, connection: Connection, scope: TenantScope, described: Iterable[Description] = ()
    ) -> QuotaLeft:
        """As of now, for a transaction that keeps other writers of the tenant away.

        Args:
            described: documents that are to come, so that what quotas of attributes need to know
                of them is asked for together.
        """
        limits = scope.lock(connection)
        left = AttributesLeft(connection, scope, limits.attribute_quotas, limits.bytes_per_step)
        used = Usage()
        if limits.max_documents is not None or limits.max_bytes is not None:
            used, _ = read_usage(connection, scope)
        quota = cls(limits, used, left)
        if left:
            left.count({pair for one in described for pair in quota._pairs(one)})
        return quota

    @property
    def ttl(self) -> float | None:
        """Seconds after which the tenant's documents are to be forgotten."""
        return None if self._limits.ttl is None else float(self._limits.ttl)

    def take(self, new: Claim, old: Claim | None = None) -> None:
        """Have a document take up room.

        Args:
            old: of the version whose place it takes, if it takes one's.

        Raises:
            QuotaError: the tenant has none for so many steps, or for another document; nothing
                was taken.
            AttributeQuotaError: so it is with its session, a tag or a field of it.
        """
        size, freed = new.usage, old.usage if old else Usage()
        used = self._used + size - freed
        self._check(used)
        if self._attributes:
            after = self._pairs(new.description)
            before = self._pairs(old.description) if old else frozenset[Pair]()
            self._attributes.check(after, before, size, freed)
            self._attributes.take(after, before, size, freed)
        self._used = used

    def _check(self, used: Usage) -> None:
        limits = self._limits
        nbytes = used.nbytes(limits.bytes_per_step)
        for limit, value, unit, option in (
            (limits.max_documents, used.documents, "documents", "--max-documents"),
            (limits.max_bytes, nbytes, "bytes of memory and metadata", "--max-bytes"),
        ):
            if limit is not None and value > limit:
                raise QuotaError(
                    f"tenant {limits.name!r} may have {limit} {unit}, with this document it would "
                    f"have {value}; forget others first, or raise the limit with "
                    f"`mplus tenants set {limits.name} {option} {value}`"
                )

    def _pairs(self, description: Description) -> frozenset[Pair]:
        rows = rows_of("", description.metadata, description.details)
        return self._attributes.limited(rows)
