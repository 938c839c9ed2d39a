"""`/v1/tenants/{name}/keys`: keys of any tenant, for the operator."""

from __future__ import annotations

from mplus_ray.model.errors import TenantNotFoundError
from mplus_ray.pipeline.ledger.api_keys import KeyScope
from mplus_ray.pipeline.ledger.tenant_log import TenantLog
from mplus_ray.services.api.auth import DepsOf, guarded
from mplus_ray.services.api.deps import Deps
from mplus_ray.services.api.openapi import problems
from mplus_ray.services.api.routes.keys import possible, to_key
from mplus_ray.services.api.schemas.keys import CreatedKey, KeyInfo, Keys, NewKey

router = guarded(KeyScope.OPERATOR, tag="tenants")

_KEYS = "/v1/tenants/{name:path}/keys"


@router.get(_KEYS, responses=problems(404))
def list_keys(name: str, deps: DepsOf) -> Keys:
    """All keys of a tenant, without what opens anything."""
    return Keys(keys=[to_key(key) for key in deps.ledger.credentials.list(log_of(deps, name))])


@router.post(_KEYS, status_code=201, responses=problems(404))
def create_key(name: str, body: NewKey, deps: DepsOf) -> CreatedKey:
    """A key to a tenant; its text is shown this once."""
    expires = body.expires.timestamp() if body.expires else None
    log = log_of(deps, name)
    key, secret = deps.ledger.credentials.create(log, body.scopes, body.name, expires)
    return CreatedKey(key=to_key(key), secret=secret)


@router.delete(_KEYS + "/{key_id}", responses=problems(404))
def revoke_key(name: str, key_id: str, deps: DepsOf) -> KeyInfo:
    """Refuse a key of a tenant from now on."""
    return to_key(deps.ledger.credentials.revoke(log_of(deps, name), possible(key_id)))


@router.post(_KEYS + "/{key_id}/rotate", status_code=201, responses=problems(404))
def rotate_key(name: str, key_id: str, deps: DepsOf) -> CreatedKey:
    """A new key in the place of an old one, which is refused from now on."""
    key, secret = deps.ledger.credentials.rotate(log_of(deps, name), possible(key_id))
    return CreatedKey(key=to_key(key), secret=secret)


def log_of(deps: Deps, name: str) -> TenantLog:
    """The tenant of that name.

    Raises:
        TenantNotFoundError: there is none.
    """
    if "\0" in name:
        raise TenantNotFoundError("there is no such tenant")
    return deps.ledger.tenant(name)
