"""`/v1/keys`: the keys of one's own tenant."""

from __future__ import annotations

from mplus_ray.pipeline.ledger.api_keys import Key, KeyScope
from mplus_ray.services.api.auth import DepsOf, TenantOf, guarded
from mplus_ray.services.api.openapi import problems
from mplus_ray.services.api.schemas.base import iso, iso_or_none
from mplus_ray.services.api.schemas.keys import CreatedKey, KeyInfo, Keys, NewKey

router = guarded(KeyScope.ADMIN, tag="keys")


@router.get("/v1/keys", responses=problems())
def list_keys(log: TenantOf, deps: DepsOf) -> Keys:
    """All keys of this tenant, without what opens anything."""
    return Keys(keys=[to_key(key) for key in deps.ledger.credentials.list(log)])


@router.post("/v1/keys", status_code=201, responses=problems())
def create_key(body: NewKey, log: TenantOf, deps: DepsOf) -> CreatedKey:
    """A new key to this tenant; its text is shown this once."""
    expires = body.expires.timestamp() if body.expires else None
    key, secret = deps.ledger.credentials.create(log, body.scopes, body.name, expires)
    return CreatedKey(key=to_key(key), secret=secret)


@router.delete("/v1/keys/{key_id}", responses=problems(404))
def revoke_key(key_id: str, log: TenantOf, deps: DepsOf) -> KeyInfo:
    """Refuse a key from now on, also the one that asks for it."""
    return to_key(deps.ledger.credentials.revoke(log, possible(key_id)))


@router.post("/v1/keys/{key_id}/rotate", status_code=201, responses=problems(404))
def rotate_key(key_id: str, log: TenantOf, deps: DepsOf) -> CreatedKey:
    """A new key in the place of an old one, which is refused from now on."""
    key, secret = deps.ledger.credentials.rotate(log, possible(key_id))
    return CreatedKey(key=to_key(key), secret=secret)


def to_key(key: Key) -> KeyInfo:
    """A key as it is shown."""
    return KeyInfo(
        id=key.id,
        name=key.name,
        scopes=sorted(key.scopes),
        created=iso(key.created),
        expires=iso_or_none(key.expires),
        revoked=iso_or_none(key.revoked),
        used=iso_or_none(key.used),
    )


def possible(key_id: str) -> str:
    """Without what no database looks for."""
    return key_id.replace("\0", "?")
