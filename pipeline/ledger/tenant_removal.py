"""The rows of a tenant that is taken away: first its text, then, without its files, the rest.

In between the tenant stays marked, so that a crash leaves something to go on from.
"""

from __future__ import annotations

from sqlalchemy import Connection, delete, select

from mplus_ray.model.errors import InvalidInputError
from mplus_ray.pipeline.ledger.schema import TENANT_TABLES, garbage, heads, shards, states, tenants
from mplus_ray.pipeline.ledger.tenant_scope import TenantScope

_UNTIL_THE_END = (heads, shards, states, garbage)  # they say which files are the tenant's


def begin_removal(connection: Connection, scope: TenantScope) -> set[str]:
    """Delete a tenant's text, see `Ledger.begin_removal`."""
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


def finish_removal(connection: Connection, scope: TenantScope) -> None:
    """Delete a tenant's last rows, see `Ledger.remove_tenant`."""
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
