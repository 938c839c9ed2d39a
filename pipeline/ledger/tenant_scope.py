"""One tenant's rows. Statements on tenant tables are made here only, so none forgets the tenant."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Delete,
    Row,
    Select,
    Table,
    Update,
    delete,
    func,
    insert,
    select,
    update,
)

from mplus_ray.model.errors import TenantNotFoundError
from mplus_ray.pipeline.ledger.database import Database
from mplus_ray.pipeline.ledger.schema import tenants


def now() -> float:
    """Seconds since the epoch in whole microseconds: a time that was shown names its moment."""
    return round(time.time(), 6)


class TenantScope:
    """Transactions and statements that see one tenant.

    Attributes:
        tenant: its id.
        clock: seconds since the epoch.
    """

    def __init__(self, database: Database, tenant: str, clock: Callable[[], float]) -> None:
        self.tenant = tenant
        self.clock = clock
        self._database = database

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one moment of the ledger."""
        with self._database.reading() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that no other one of this tenant overlaps.

        Raises:
            TenantNotFoundError: the tenant was deleted meanwhile.
        """
        with self._database.writing() as connection:
            self.lock(connection)
            yield connection

    def lock(self, connection: Connection) -> Row[Any]:
        """Make other writers of this tenant wait for this transaction; returns its settings."""
        row = connection.execute(
            select(tenants).where(tenants.c.id == self.tenant).with_for_update()
        ).one_or_none()
        if row is None or row.status != "active":
            raise TenantNotFoundError("the tenant was deleted; nothing of this was kept")
        return row

    def set(self, connection: Connection, **values: Any) -> None:
        """Change the tenant's own settings."""
        connection.execute(update(tenants).where(tenants.c.id == self.tenant).values(**values))

    def select(self, table: Table, *columns: Column[Any] | ColumnElement[Any]) -> Select[Any]:
        """`columns` of this tenant's rows; all of them if none is named."""
        return select(*(columns or table.c)).select_from(table).where(self._mine(table))

    def select_by_ids(
        self, table: Table, ids: Sequence[str], *columns: Column[Any] | ColumnElement[Any]
    ) -> Select[Any]:
        """Rows of this tenant by their primary keys."""
        return self.select_found(table, table.c.id.in_(list(ids)), *columns)

    def select_found(
        self,
        table: Table,
        found: ColumnElement[bool],
        *columns: Column[Any] | ColumnElement[Any],
    ) -> Select[Any]:
        """Rows of this tenant among those that a condition finds by an index without the tenant.

        With the tenant beside it SQLite may take an index of the tenant's instead, and read all
        its rows: that condition is written so that no index serves it.
        """
        query = select(*(columns or table.c)).select_from(table)
        return query.where(self._mine_unindexed(table), found)

    def update(self, table: Table) -> Update:
        return update(table).where(self._mine(table))

    def delete(self, table: Table) -> Delete:
        return delete(table).where(self._mine(table))

    def delete_found(self, table: Table, found: ColumnElement[bool]) -> Delete:
        """Delete the rows that `select_found` would select."""
        return delete(table).where(self._mine_unindexed(table), found)

    def insert(
        self, connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]
    ) -> None:
        """Insert rows as this tenant's."""
        if rows:
            connection.execute(insert(table), [{**row, "tenant": self.tenant} for row in rows])

    def _mine_unindexed(self, table: Table) -> ColumnElement[bool]:
        return func.coalesce(table.c.tenant, "") == self.tenant

    def _mine(self, table: Table) -> ColumnElement[bool]:
        return table.c.tenant == self.tenant


@contextmanager
def writing_together(scopes: Sequence[TenantScope]) -> Iterator[tuple[Connection, set[str]]]:
    """One transaction for several tenants of one ledger, and the ids of those that are there.

    They are locked in one order for everybody, so that two such transactions cannot wait for each
    other.
    """
    ids = {scope.tenant for scope in scopes}
    query = select(tenants.c.id).where(tenants.c.id.in_(ids), tenants.c.status == "active")
    with scopes[0]._database.writing() as connection:
        found = connection.execute(query.order_by(tenants.c.id).with_for_update())
        yield connection, set(found.scalars())
