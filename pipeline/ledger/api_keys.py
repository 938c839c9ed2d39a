"""Keys: who may do what, and whose memory it is. A key is shown once; its hash is kept.

`mplus_` + 8 hex digits that name it + `_` + 32 random bytes in 43 characters.
"""

from __future__ import annotations

import builtins
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Connection, Row, bindparam, insert, select, update

from mplus_ray.model.errors import (
    ForbiddenError,
    InvalidInputError,
    KeyNotFoundError,
    StorageError,
    UnauthorizedError,
)
from mplus_ray.pipeline.ledger.database import Database
from mplus_ray.pipeline.ledger.deferred_writes import DeferredWrites
from mplus_ray.pipeline.ledger.schema import heads, keys, tenants
from mplus_ray.pipeline.ledger.tenant import Tenant, to_tenant

if TYPE_CHECKING:
    from mplus_ray.pipeline.ledger.tenant_log import TenantLog

_ID = re.compile(r"[0-9a-f]{8}", re.ASCII)
_TEXT = re.compile(r"mplus_([0-9a-f]{8})_[A-Za-z0-9_-]{43}", re.ASCII)
_NOBODY = hashlib.sha256(secrets.token_bytes(32)).hexdigest()  # of a key that there is not
_MAX_NAME = 100
_NOTED_EVERY = 60.0  # seconds
_LAST = 253_402_300_799.0  # seconds: later times have no ISO form
_ID_TRIES = 8  # at an id that nobody has
_OWNER = "owner_"
# Made once: every request begins with it.
_WITH_OWNER = (
    select(
        keys,
        heads.c.fingerprint.label(f"{_OWNER}fingerprint"),
        *(column.label(_OWNER + column.name) for column in tenants.c),
    )
    .outerjoin(tenants, tenants.c.id == keys.c.tenant)
    .outerjoin(heads, (heads.c.tenant == tenants.c.id) & heads.c.serving)
    .where(keys.c.id == bindparam("key"))
)


class KeyScope(StrEnum):
    """What a key allows. The operator's has the one scope `operator`, and no tenant."""

    QUERY = "query"
    INGEST = "ingest"
    ADMIN = "admin"
    OPERATOR = "operator"


TENANT_SCOPES = frozenset({KeyScope.QUERY, KeyScope.INGEST, KeyScope.ADMIN})


@dataclass(frozen=True)
class Key:
    """A key as it is listed: without what opens anything.

    Attributes:
        tenant: whose; None is the operator's.
        created, expires, revoked, used: seconds since the epoch; `used` lags by a minute.
        id: the part of its text that names it.
        name: what its owner calls it.
        scopes: what it allows.
    """

    id: str
    name: str
    tenant: str | None
    scopes: frozenset[str]
    created: float
    expires: float | None
    revoked: float | None
    used: float | None

    def require(self, scope: str) -> None:
        """Refuse what the key does not allow.

        Raises:
            ForbiddenError: it lacks the scope.
        """
        if scope not in self.scopes:
            raise ForbiddenError(
                f"this needs a key with the scope {scope}, and this one has "
                f"{', '.join(sorted(self.scopes))}; have another one created"
            )

    def live(self, now: float) -> bool:
        """Whether it opens anything at that moment."""
        return self.revoked is None and (self.expires is None or now < self.expires)


class Credentials:
    """The keys of a ledger, see `Ledger.credentials`.

    Every check reads the ledger, so a key that is revoked is refused from then on everywhere.
    """

    def __init__(
        self, database: Database, notes: DeferredWrites, clock: Callable[[], float]
    ) -> None:
        self._database = database
        self._notes = notes
        self._clock = clock

    def create(
        self,
        tenant: TenantLog | None,
        scopes: Iterable[str],
        name: str = "",
        expires: float | None = None,
    ) -> tuple[Key, str]:
        """A new key and its text, which nobody can find again.

        Args:
            tenant: whose; None makes an operator's key, whose one scope is `operator`.
            scopes: at least one of query, ingest and admin.
            name: for people, at most 100 printable characters.
            expires: seconds since the epoch.

        Raises:
            InvalidInputError: a scope or the name is impossible, or the time is past.
            TenantNotFoundError: the tenant was deleted meanwhile.
        """
        wanted, now = _checked(tenant, scopes, name), self._clock()
        if expires is not None and not now < expires <= _LAST:
            raise InvalidInputError(
                "a key has to expire in the future, before the year 10000; give another time, or "
                "none"
            )
        with self._database.writing() as connection:
            _lock(connection, tenant)
            return self._add(connection, _owner(tenant), wanted, name, expires)

    def verify(self, text: str) -> tuple[Key, Tenant | None]:
        """The key of that text, and the tenant whose it is; None is the operator's.

        It is compared in constant time, also where there is none of that id.

        Raises:
            UnauthorizedError: it is unknown, malformed, revoked, expired, or its tenant is gone;
                the message is always the same.
        """
        form = _TEXT.fullmatch(text)
        row = self._find(form[1]) if form else None
        digest = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
        same = hmac.compare_digest(row.sha256 if row else _NOBODY, digest)
        now = self._clock()
        if row is None or not same or not _has_owner(row):
            raise _refused()
        key = _key(row)
        if not key.live(now):
            raise _refused()
        if key.used is None or now - key.used >= _NOTED_EVERY:
            self._notes.submit(f"key {key.id}", lambda: self._note_use(key.id, now))
        return key, None if key.tenant is None else to_tenant(row, _OWNER)

    def list(self, tenant: TenantLog | None) -> builtins.list[Key]:
        """A tenant's keys, or the operator's, also those that are revoked; oldest first."""
        query = select(keys).where(_of(tenant)).order_by(keys.c.created, keys.c.id)
        with self._database.reading() as connection:
            return [_key(row) for row in connection.execute(query)]

    def revoke(self, tenant: TenantLog | None, key_id: str) -> Key:
        """Refuse a key from now on. Twice is once.

        Raises:
            KeyNotFoundError: the tenant has none of that id.
        """
        with self._database.writing() as connection:
            _lock(connection, tenant)
            _owned(connection, tenant, key_id)
            self._revoke(connection, key_id)
            return _owned(connection, tenant, key_id)

    def rotate(self, tenant: TenantLog | None, key_id: str) -> tuple[Key, str]:
        """A new key like the old one, which is refused from then on, in one transaction.

        Raises:
            KeyNotFoundError: the tenant has none of that id.
            InvalidInputError: it is revoked or has expired.
        """
        with self._database.writing() as connection:
            _lock(connection, tenant)
            old = _owned(connection, tenant, key_id)
            if not old.live(self._clock()):
                raise InvalidInputError(
                    f"the key {key_id} is revoked or has expired, so there is nothing to rotate; "
                    "create a new one"
                )
            self._revoke(connection, key_id)
            return self._add(connection, old.tenant, old.scopes, old.name, old.expires)

    def any(self) -> bool:
        """Whether there is any key, of anybody, good or not."""
        with self._database.reading() as connection:
            return connection.execute(select(keys.c.id).limit(1)).first() is not None

    def _find(self, key_id: str) -> Row[Any] | None:
        with self._database.reading() as connection:
            return connection.execute(_WITH_OWNER, {"key": key_id}).one_or_none()

    def _note_use(self, key_id: str, now: float) -> None:
        older = keys.c.used.is_(None) | (keys.c.used <= now - _NOTED_EVERY)
        with self._database.writing() as connection:
            connection.execute(update(keys).where(keys.c.id == key_id, older).values(used=now))

    def _add(
        self,
        connection: Connection,
        tenant: str | None,
        scopes: frozenset[str],
        name: str,
        expires: float | None,
    ) -> tuple[Key, str]:
        key_id = _free_id(connection)
        text = f"mplus_{key_id}_{secrets.token_urlsafe(32)}"
        key = Key(key_id, name, tenant, scopes, self._clock(), expires, None, None)
        row = {**vars(key), "scopes": sorted(scopes)}
        digest = hashlib.sha256(text.encode()).hexdigest()
        connection.execute(insert(keys).values(**row, sha256=digest))
        return key, text

    def _revoke(self, connection: Connection, key_id: str) -> None:
        good = (keys.c.id == key_id) & keys.c.revoked.is_(None)
        connection.execute(update(keys).where(good).values(revoked=self._clock()))


def _has_owner(row: Row[Any]) -> bool:
    """Whether a key is the operator's, or its tenant is there with a memory that serves."""
    return row.tenant is None or (
        row.owner_status == "active" and row.owner_fingerprint is not None
    )


def _refused() -> UnauthorizedError:
    return UnauthorizedError(
        "the key is not valid; send a current one as `Authorization: Bearer mplus_…`"
    )


def _checked(tenant: TenantLog | None, scopes: Iterable[str], name: str) -> frozenset[str]:
    """The scopes of a new key, as they are kept."""
    wanted = frozenset(str(scope) for scope in scopes)
    allowed = frozenset({KeyScope.OPERATOR}) if tenant is None else TENANT_SCOPES
    if not wanted or not wanted <= allowed:
        whose = "the operator's" if tenant is None else "a tenant's"
        raise InvalidInputError(
            f"{', '.join(sorted(wanted)) or 'no scope'}: {whose} key has scopes of "
            f"{', '.join(sorted(allowed))}, and at least one"
        )
    if len(name) > _MAX_NAME or not name.isprintable():
        raise InvalidInputError(
            f"{name[:_MAX_NAME]!r} cannot name a key; use at most {_MAX_NAME} printable characters"
        )
    return wanted


def _owner(tenant: TenantLog | None) -> str | None:
    return None if tenant is None else tenant.tenant.id


def _of(tenant: TenantLog | None) -> ColumnElement[bool]:
    """Rows of one owner: each statement but the check of a key has this."""
    owner = _owner(tenant)
    return keys.c.tenant.is_(None) if owner is None else keys.c.tenant == owner


def _lock(connection: Connection, tenant: TenantLog | None) -> None:
    """Make sure that the owner is there until the transaction ends."""
    if tenant is not None:
        tenant.scope.lock(connection)


def _owned(connection: Connection, tenant: TenantLog | None, key_id: str) -> Key:
    query = select(keys).where(_of(tenant), keys.c.id == key_id).with_for_update()
    row = connection.execute(query).one_or_none() if _ID.fullmatch(key_id) else None
    if row is None:
        raise KeyNotFoundError(f"there is no key {key_id[:40]!r}; list the keys to find its id")
    return _key(row)


def _free_id(connection: Connection) -> str:
    for _ in range(_ID_TRIES):
        key_id = secrets.token_hex(4)
        if connection.execute(select(keys.c.id).where(keys.c.id == key_id)).first() is None:
            return key_id
    raise StorageError("no free id for a key was found; try again")


def _key(row: Row[Any]) -> Key:
    fields = {name: getattr(row, name) for name in Key.__dataclass_fields__}
    return Key(**{**fields, "scopes": frozenset(row.scopes)})
