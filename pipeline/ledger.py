"""The ledger: every tenant and its log of documents. It is the truth; memory is made from it."""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Row, func, insert, select

from model.errors import InvalidInputError, TenantNotFoundError
from pipeline.database import Database
from pipeline.schema import chunks, documents, tenants
from pipeline.tenant_log import Tenant, TenantLog

_MAX_NAME = 200
_SEEDS = 2**63  # what a signed 64-bit column holds


@dataclass(frozen=True)
class TenantSummary:
    """One line of a list of tenants."""

    tenant: Tenant
    documents: int
    chunks: int
    tokens: int


class Ledger:
    """Tenants by name; what is inside a tenant is reached through its `TenantLog` only."""

    def __init__(self, url: str, clock: Callable[[], float] = time.time) -> None:
        self._database = Database(url)
        self._clock = clock

    def tenant(self, name: str) -> TenantLog:
        """The log of an existing tenant.

        Raises:
            TenantNotFoundError: there is no tenant of that name.
        """
        with self._database.reading() as connection:
            row = connection.execute(select(tenants).where(tenants.c.name == name)).one_or_none()
        if row is None:
            raise TenantNotFoundError(
                f"there is no tenant {name!r}; `mplus tenants list` shows those that exist, "
                "`mplus ingest --tenant NAME PATH` makes a new one"
            )
        return TenantLog(self._database, _tenant(row), self._clock)

    def create_tenant(self, name: str, fingerprint: str, seed: int | None = None) -> TenantLog:
        """The log of the tenant of that name, made now if there was none.

        Raises:
            InvalidInputError: the name or the seed is impossible, or the tenant has another seed.
            FingerprintMismatchError: the tenant exists with memory of another checkpoint.
        """
        wanted = default_seed(name) if seed is None else seed
        _check_new_tenant(name, wanted)
        with self._database.writing() as connection:
            query = select(tenants).where(tenants.c.name == name)
            row = connection.execute(query).one_or_none()
            if row is None:
                values = {
                    "id": uuid.uuid4().hex,
                    "name": name,
                    "seed": wanted,
                    "fingerprint": fingerprint,
                    "created": self._clock(),
                }
                connection.execute(insert(tenants).values(values))
                row = connection.execute(query).one()
        tenant = _tenant(row)
        tenant.check_fingerprint(fingerprint)
        if seed is not None and seed != tenant.seed:
            raise InvalidInputError(
                f"tenant {name!r} exists with seed {tenant.seed}; a seed is for life, so leave "
                "--seed out or use another tenant"
            )
        return TenantLog(self._database, tenant, self._clock)

    def tenants(self) -> list[TenantSummary]:
        """All tenants by name, with the size of their logs."""
        count = (
            select(documents.c.tenant, func.count().label("documents"))
            .group_by(documents.c.tenant)
            .subquery()
        )
        size = (
            select(
                chunks.c.tenant,
                func.count().label("chunks"),
                func.sum(chunks.c.tokens).label("tokens"),
            )
            .group_by(chunks.c.tenant)
            .subquery()
        )
        query = (
            select(tenants, count.c.documents, size.c.chunks, size.c.tokens)
            .outerjoin(count, count.c.tenant == tenants.c.id)
            .outerjoin(size, size.c.tenant == tenants.c.id)
            .order_by(tenants.c.name)
        )
        with self._database.reading() as connection:
            rows = connection.execute(query).all()
        return [
            TenantSummary(_tenant(r), r.documents or 0, r.chunks or 0, r.tokens or 0) for r in rows
        ]

    def close(self) -> None:
        self._database.close()


def default_seed(name: str) -> int:
    """A hash of the name, so that the same documents give the same memory anywhere."""
    digest = hashlib.sha256(name.encode()).digest()
    return int.from_bytes(digest[:8], "big") % _SEEDS


def _check_new_tenant(name: str, seed: int) -> None:
    if not name.strip() or len(name) > _MAX_NAME or not name.isprintable():
        raise InvalidInputError(
            f"{name[:_MAX_NAME]!r} cannot name a tenant; use 1 to {_MAX_NAME} printable characters"
        )
    if not 0 <= seed < _SEEDS:
        raise InvalidInputError(f"the seed {seed} is not in 0 … 2^63 - 1")


def _tenant(row: Row[tuple[str, str, int, str, float]]) -> Tenant:
    return Tenant(row.id, row.name, row.seed, row.fingerprint)
