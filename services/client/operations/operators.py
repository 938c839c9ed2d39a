"""For operators: keys of any tenant, tenants from archives, and what goes on in the service."""

from __future__ import annotations

from pathlib import Path

from ..flow import Blocking, Flow, operation
from ..models import CreatedKey, KeyInfo, Keys, ServiceStatus, Tenant
from ..requests import call, given, quoted
from .core import Core

_TENANTS = "/v1/tenants"
_TAR = {"content-type": "application/x-tar"}


class Operators(Core):
    """What only the operator's key opens, besides tenants themselves."""

    @operation
    def status(self) -> Flow[ServiceStatus]:
        """What waits and of whom, who writes, who reads, and where the bytes are."""
        found = yield from call(self.patience, ServiceStatus, "GET", "/v1/status")
        return found

    @operation
    def import_tenant(self, archive: str | Path, *, name: str | None = None) -> Flow[Tenant]:
        """A new tenant from an archive of `export` or `mplus export`.

        Args:
            archive: a file of at most 1 GiB, which is read as a whole.
            name: by default the one that the tenant had.

        Raises:
            FileNotFoundError: there is no such file.
            ConflictError: there is a tenant of this name, or the archive is of another checkpoint.
        """
        content: bytes = yield Blocking(Path(archive).read_bytes)
        path, params = f"{_TENANTS}/import", given(name=name)
        made = yield from call(
            self.patience,
            Tenant,
            "POST",
            path,
            again=False,
            content=content,
            headers=_TAR,
            params=params,
        )
        return made

    @operation
    def tenant_keys(self, tenant: str) -> Flow[list[KeyInfo]]:
        """All keys of a tenant, also those that are revoked, without what opens anything."""
        path = f"{_TENANTS}/{quoted(tenant)}/keys"
        return (yield from call(self.patience, Keys, "GET", path)).keys

    @operation
    def revoke_tenant_key(self, tenant: str, id: str) -> Flow[KeyInfo]:  # noqa: A002 - its name
        """Refuse a key of a tenant from now on."""
        path = f"{_TENANTS}/{quoted(tenant)}/keys/{quoted(id)}"
        found = yield from call(self.patience, KeyInfo, "DELETE", path)
        return found

    @operation
    def rotate_tenant_key(self, tenant: str, id: str) -> Flow[CreatedKey]:  # noqa: A002 - its name
        """A new key in the place of an old one, which is refused from now on."""
        path = f"{_TENANTS}/{quoted(tenant)}/keys/{quoted(id)}/rotate"
        made = yield from call(self.patience, CreatedKey, "POST", path, again=False)
        return made
