"""Tenants that nobody finds: those that an import is making, and those that are taken away.

A tenant that is taken away loses its text first, then, without its files, the rest. In between it
stays marked, so that a crash leaves something to go on from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy import Connection, delete, insert, select, update

from mplus_ray.model.errors import BusyError, InvalidInputError
from mplus_ray.pipeline.ledger.database import Database
from mplus_ray.pipeline.ledger.heads.head import add_head, new_head
from mplus_ray.pipeline.ledger.schema import TENANT_TABLES, garbage, heads, shards, states, tenants
from mplus_ray.pipeline.ledger.tenant import Tenant, check_new_tenant, to_tenant
from mplus_ray.pipeline.ledger.tenant_log import TenantLog
from mplus_ray.pipeline.ledger.tenant_queries import named, with_head
from mplus_ray.pipeline.ledger.tenant_scope import TenantScope

_UNTIL_THE_END = (heads, shards, states, garbage)  # they say which files are the tenant's


class MarkedTenants:
    """What is done to tenants while nobody finds them."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock

    def reserve(self, tenant: Tenant) -> TenantLog:
        """An empty log under a name that nobody finds before `admit`.

        Until then it counts as one that is being deleted, so nothing of it outlives a crash.

        Raises:
            InvalidInputError: the tenant is impossible, or its name is taken.
        """
        check_new_tenant(tenant)
        log = TenantLog(self._database, tenant, self._clock)
        with self._database.writing() as connection:
            if connection.execute(named(tenant.name)).one_or_none():
                raise InvalidInputError(
                    f"there is a tenant {tenant.name!r} already; give another name, or delete it"
                )
            insert_tenant(connection, tenant, "deleting")
            add_head(connection, log.scope, new_head(tenant.fingerprint, tenant.created))
        return log

    def admit(self, log: TenantLog, fill: Callable[[Connection, TenantScope], None]) -> None:
        """Let everybody find a reserved tenant, with what `fill` inserts, in one transaction.

        Raises:
            BusyError: it was swept away meanwhile.
        """
        mine = (tenants.c.id == log.tenant.id) & (tenants.c.status == "deleting")
        with self._database.writing() as connection:
            found = connection.execute(update(tenants).where(mine).values(status="active"))
            if not found.rowcount:
                raise BusyError("`mplus sweep` took the unfinished tenant away; begin again")
            fill(connection, log.scope)

    def list(self) -> Sequence[Tenant]:
        """Tenants that are marked and not removed yet, for example after a crash."""
        query = with_head().where(tenants.c.status != "active")
        with self._database.reading() as connection:
            return [to_tenant(row) for row in connection.execute(query)]

    def begin_removal(self, tenant_id: str) -> set[str]:
        """Delete the text of a marked tenant; returns the files that nobody else names.

        It can be done again until `remove`: the names of the files are still there.
        """
        with self._database.writing() as connection:
            return _begin(connection, self._scope(tenant_id))

    def remove(self, tenant_id: str) -> None:
        """Delete every row of a tenant that is marked; one that is gone already is fine."""
        with self._database.writing() as connection:
            _finish(connection, self._scope(tenant_id))

    def _scope(self, tenant_id: str) -> TenantScope:
        return TenantScope(self._database, tenant_id, self._clock)


def insert_tenant(connection: Connection, tenant: Tenant, status: str = "active") -> None:
    """A new tenant's row.

    Raises:
        IntegrityError: its name is taken.
    """
    columns = {column.name for column in tenants.c} - {"status", "wanted"}
    values = {name: getattr(tenant, name) for name in columns}
    connection.execute(insert(tenants).values(**values, status=status))


def _begin(connection: Connection, scope: TenantScope) -> set[str]:
    """Delete a tenant's text, see `MarkedTenants.begin_removal`."""
    _require_marked(connection, scope)
    scope.set(connection, status="removing")  # from here on an import cannot have it back
    for table in TENANT_TABLES:
        if table not in _UNTIL_THE_END:
            connection.execute(scope.delete(table))
    own: set[str] = set()
    for table in (shards, states, garbage):
        own.update(connection.execute(scope.select(table, table.c.file)).scalars())
    for table in (shards, states):
        theirs = select(table.c.file).where(table.c.tenant != scope.tenant)
        own.difference_update(connection.execute(theirs).scalars())
    return own


def _finish(connection: Connection, scope: TenantScope) -> None:
    """Delete a tenant's last rows, see `MarkedTenants.remove`."""
    _require_marked(connection, scope)
    for table in TENANT_TABLES:
        connection.execute(scope.delete(table))
    connection.execute(delete(tenants).where(tenants.c.id == scope.tenant))


def _require_marked(connection: Connection, scope: TenantScope) -> None:
    status = connection.execute(
        select(tenants.c.status).where(tenants.c.id == scope.tenant).with_for_update()
    ).scalar_one_or_none()
    if status == "active":
        raise InvalidInputError("this tenant is in use; delete_tenant marks it first")
