"""What a tenant's memory consists of, counted: steps, documents, files and their bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Table, func

from mplus_ray.pipeline.ledger.documents.append import next_step
from mplus_ray.pipeline.ledger.schema import chunks, documents, failures, forgets, shards, states
from mplus_ray.pipeline.ledger.tenant_scope import TenantScope
from mplus_ray.pipeline.reading.read_plans import serving_row

if TYPE_CHECKING:
    from mplus_ray.pipeline.ledger.tenant_log import TenantLog


@dataclass(frozen=True)
class Kind:
    """Files of one kind that the serving head names; a fork counts those that it shares.

    Attributes:
        files: how many.
        nbytes: of all of them.
    """

    files: int
    nbytes: int


@dataclass(frozen=True)
class TenantStats:
    """A tenant at one moment.

    Attributes:
        steps: that are memorized, of the `waiting` more that the log has.
        documents: without the `forgetting` ones.
        tokens: of the log.
        failed: sources that could not be read.
        shards, states: files of rows, and of where a writer can go on.
        waiting: chunks of the log that are not memorized.
        forgetting: documents that are being forgotten.
    """

    steps: int
    waiting: int
    documents: int
    forgetting: int
    tokens: int
    failed: int
    shards: Kind
    states: Kind


def read_tenant_stats(log: TenantLog) -> TenantStats:
    """Count all of it, as of one moment.

    Raises:
        TenantNotFoundError: the tenant was deleted.
    """
    scope = log.scope
    with scope.reading() as connection:
        head = serving_row(connection, scope)
        tokens = scope.select(chunks, func.coalesce(func.sum(chunks.c.tokens), 0))
        forgetting = _count(connection, scope, forgets, forgets.c.rebuilt.is_(None))
        return TenantStats(
            steps=head.step,
            waiting=max(0, next_step(connection, scope) - head.step),
            documents=_count(connection, scope, documents) - forgetting,
            forgetting=forgetting,
            tokens=int(connection.execute(tokens).scalar_one()),
            failed=_count(connection, scope, failures),
            shards=_kind(connection, scope, shards, head.id),
            states=_kind(connection, scope, states, head.id),
        )


def _count(connection: Connection, scope: TenantScope, table: Table, *which: Any) -> int:
    query = scope.select(table, func.count()).where(*which)
    return int(connection.execute(query).scalar_one())


def _kind(connection: Connection, scope: TenantScope, table: Table, head: str) -> Kind:
    sums = func.count(), func.coalesce(func.sum(table.c.nbytes), 0)
    row = connection.execute(scope.select(table, *sums).where(table.c.head == head)).one()
    return Kind(int(row[0]), int(row[1]))
