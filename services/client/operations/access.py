"""Keys of one's own tenant; and for operators, tenants and their keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, TypedDict, Unpack

from ..flow import Flow, operation
from ..models import CreatedKey, KeyInfo, Keys, Tenant, Tenants
from ..requests import call, given, quoted, request
from .core import Core, moment

Scope = Literal["query", "ingest", "admin"]
_KEYS, _TENANTS = "/v1/keys", "/v1/tenants"


class AttributeQuota(TypedDict, total=False):
    """What each session, each tag or each value of a field may have; None is no limit.

    Attributes:
        max_documents: how many.
        max_bytes: of rows, and of metadata beyond a KiB a document.
    """

    max_documents: int | None
    max_bytes: int | None


class Limits(TypedDict, total=False):
    """What of a tenant can be changed at any time; None is no limit of its own.

    Attributes:
        max_documents, max_bytes: what it may have.
        cold_after: seconds without use after which its rows may be dropped.
        documents_per_minute, tokens_per_minute, concurrent_questions: what it may do.
        threshold: of confidence, below which answers are withheld.
        ttl: seconds after which a document is forgotten that does not say when.
        max_webhooks: what it may have.
        attribute_quotas: what each session, each tag or each value of a field may have, by
            `session`, `tag`, `metadata.…`; in the place of all that were there.
    """

    max_documents: int | None
    max_bytes: int | None
    cold_after: float | None
    documents_per_minute: int | None
    tokens_per_minute: int | None
    concurrent_questions: int | None
    threshold: float | None
    ttl: float | None
    max_webhooks: int | None
    attribute_quotas: Mapping[str, AttributeQuota] | None


class ForLife(Limits, total=False):
    """What a new tenant may be given, and keeps.

    Attributes:
        seed: by default a hash of the name.
        precision, retention: of its memory.
    """

    seed: int | None
    precision: Literal["bfloat16", "float32", "float16", "int8"] | None
    retention: Literal["checkpoint", "unbounded"] | None


class Access(Core):
    """`/v1/keys` and `/v1/tenants`."""

    @operation
    def api_keys(self) -> Flow[list[KeyInfo]]:
        """All keys of this tenant, also those that are revoked, without what opens anything."""
        return (yield from call(self.patience, Keys, "GET", _KEYS)).keys

    @operation
    def create_key(
        self, scopes: Sequence[Scope], *, name: str = "", expires: str | datetime | None = None
    ) -> Flow[CreatedKey]:
        """A key to this tenant; its text is shown this once.

        Args:
            expires: None: never.
        """
        body = given(scopes=list(scopes), name=name, expires=moment(expires))
        made = yield from call(self.patience, CreatedKey, "POST", _KEYS, again=False, json=body)
        return made

    @operation
    def revoke_key(self, id: str) -> Flow[KeyInfo]:  # noqa: A002 - as the service calls it
        """Refuse a key from now on, also this client's own."""
        found = yield from call(self.patience, KeyInfo, "DELETE", f"{_KEYS}/{quoted(id)}")
        return found

    @operation
    def rotate_key(self, id: str) -> Flow[CreatedKey]:  # noqa: A002 - as the service calls it
        """A new key in the place of an old one, which is refused from now on."""
        path = f"{_KEYS}/{quoted(id)}/rotate"
        made = yield from call(self.patience, CreatedKey, "POST", path, again=False)
        return made

    @operation
    def tenants(self) -> Flow[list[Tenant]]:
        """All tenants, by name. This and what follows is for the operator's key."""
        return (yield from call(self.patience, Tenants, "GET", _TENANTS)).tenants

    @operation
    def tenant(self, name: str) -> Flow[Tenant]:
        """One tenant.

        Raises:
            NotFoundError: there is none of this name.
        """
        found = yield from call(self.patience, Tenant, "GET", f"{_TENANTS}/{quoted(name)}")
        return found

    @operation
    def create_tenant(self, name: str, **settings: Unpack[ForLife]) -> Flow[Tenant]:
        """A new tenant. Keywords are those of `ForLife` and `Limits`.

        Raises:
            ConflictError: there is one of this name.
        """
        body = {"name": name, **given(**settings)}
        made = yield from call(self.patience, Tenant, "POST", _TENANTS, again=False, json=body)
        return made

    @operation
    def change_tenant(self, name: str, **settings: Unpack[Limits]) -> Flow[Tenant]:
        """Change what is given, keywords of `Limits`; None lifts a limit."""
        body: dict[str, Any] = dict(settings)
        path = f"{_TENANTS}/{quoted(name)}"
        changed = yield from call(self.patience, Tenant, "PATCH", path, json=body)
        return changed

    @operation
    def delete_tenant(self, name: str) -> Flow[None]:
        """Take a tenant away with everything it had: at once, and for good."""
        path = f"{_TENANTS}/{quoted(name)}"
        yield from request(self.patience, "DELETE", path, again=False)

    @operation
    def create_tenant_key(
        self,
        tenant: str,
        scopes: Sequence[Scope],
        *,
        name: str = "",
        expires: str | datetime | None = None,
    ) -> Flow[CreatedKey]:
        """A key to a tenant; its text is shown this once.

        Args:
            expires: None: never.
        """
        body = given(scopes=list(scopes), name=name, expires=moment(expires))
        path = f"{_TENANTS}/{quoted(tenant)}/keys"
        made = yield from call(self.patience, CreatedKey, "POST", path, again=False, json=body)
        return made
