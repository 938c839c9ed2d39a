"""The tenant as a value."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypedDict

from sqlalchemy import Row

from mplus_ray.model.errors import FingerprintMismatchError, InvalidInputError
from mplus_ray.pipeline.ledger.filters.attribute_quotas import (
    AttributeQuota,
    check_attribute_quotas,
)
from mplus_ray.pipeline.parsing.limits import has_dots

PRECISIONS = ("bfloat16", "float32", "float16", "int8")
RETENTIONS = ("checkpoint", "unbounded")
_MAX_NAME = 200
_SEEDS = 2**63  # what a signed 64-bit column holds


def default_precision(geometry: Mapping[str, Any]) -> str:
    """How rows of a new tenant are stored, by the configuration of the model that makes them."""
    return str(geometry.get("row_precision", PRECISIONS[0]))


class TenantLimits(TypedDict, total=False):
    """What may be changed of a tenant at any time; None is no limit, or the installation's own."""

    max_documents: int | None
    max_bytes: int | None
    cold_after: float | None
    documents_per_minute: int | None
    tokens_per_minute: int | None
    concurrent_questions: int | None
    threshold: float | None
    ttl: float | None
    max_webhooks: int | None
    attribute_quotas: dict[str, AttributeQuota] | None


LIMITS = tuple(TenantLimits.__annotations__)


@dataclass(frozen=True)
class Tenant:
    """The unit of isolation, as it was when it was read from the ledger.

    Attributes:
        seed: for life.
        precision: what its rows are kept in: bfloat16, float32, float16 or int8; for life.
        retention: what becomes of old rows: checkpoint (as the model was trained) or unbounded.
        max_documents, max_bytes: quotas; None is no limit.
        cold_after: seconds without use after which its memory may be dropped, to be made again
            from text; None is never.
        documents_per_minute, tokens_per_minute: that it may hand in, and concurrent_questions
            that it may ask; None is what the installation allows.
        threshold: of an answer's confidence, from 0 (never abstain) to 1; None is the
            checkpoint's own.
        ttl: seconds after which its documents are forgotten, but for those that say when; None is
            never.
        max_webhooks: that it may have; None is what the installation allows.
        attribute_quotas: what each session, each tag, or each value of a field of the metadata may
            have, by `session`, `tag`, `metadata.…`; None is no limit.
        bytes_per_step: what a step's rows take, for `max_bytes`.
        geometry: whatever its creator wants to know of the model's shape.
        created, used: seconds since the epoch.
        fingerprint: of the weights of its serving head.
        id: internal; names its folder in the store.
        name: what the operator calls it.
        concurrent_questions: that may be answered at once; None: the service's own limit.
        origin: of a fork, the id of the tenant that it goes back to, through other forks too.
    """

    id: str
    name: str
    seed: int
    fingerprint: str
    precision: str = "bfloat16"
    retention: str = "checkpoint"
    max_documents: int | None = None
    max_bytes: int | None = None
    cold_after: float | None = None
    documents_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrent_questions: int | None = None
    threshold: float | None = None
    ttl: float | None = None
    max_webhooks: int | None = None
    attribute_quotas: dict[str, AttributeQuota] | None = field(default=None, hash=False)
    bytes_per_step: int = 0
    geometry: dict[str, Any] = field(default_factory=dict, hash=False)
    created: float = 0.0
    used: float = field(default=0.0, compare=False)
    origin: str | None = None

    @property
    def family(self) -> str:
        """The id under which it and its forks are counted together."""
        return self.origin or self.id

    @property
    def independent_steps(self) -> bool:
        """Whether the rows of a step depend on no other step, so that steps can be left out of a
        memory without memorizing the others again."""
        return self.geometry.get("rows") == "inputs"

    def check_fingerprint(self, fingerprint: str) -> None:
        """Refuse a checkpoint that did not make this tenant's memory."""
        if fingerprint != self.fingerprint:
            raise FingerprintMismatchError(
                f"tenant {self.name!r} belongs to the checkpoint {self.fingerprint[:16]}…, the one "
                f"loaded is {fingerprint[:16]}…; give the first one with --checkpoint, or use "
                "another tenant"
            )

    def check_settings(
        self, *, seed: int | None, precision: str | None, retention: str | None
    ) -> None:
        """Refuse a setting that is another one than this tenant's; None asks for nothing."""
        for setting, asked in (("seed", seed), ("precision", precision), ("retention", retention)):
            has = getattr(self, setting)
            if asked is not None and asked != has:
                raise InvalidInputError(
                    f"tenant {self.name!r} exists with {setting} {has}; a {setting} is for life, "
                    f"so leave --{setting} out or use another tenant"
                )


@dataclass(frozen=True)
class TenantSummary:
    """One line of a list of tenants.

    Attributes:
        documents: without those that are being forgotten.
        chunks, tokens: of the log.
        step: how many of the chunks are memorized.
        nbytes: of the files that hold its memory's rows; forks count shared files each.
        tenant: its settings.
    """

    tenant: Tenant
    documents: int
    chunks: int
    tokens: int
    step: int
    nbytes: int


def to_tenant(row: Row[Any], prefix: str = "") -> Tenant:
    """A row of `tenants` with its serving head's fingerprint.

    Args:
        prefix: of the columns' labels.
    """
    return Tenant(**{name: getattr(row, prefix + name) for name in Tenant.__dataclass_fields__})


def new_tenant(*, now: float, **settings: Any) -> Tenant:
    """A tenant that is not in the ledger yet."""
    return Tenant(id=uuid.uuid4().hex, created=now, used=now, **settings)


def default_seed(name: str) -> int:
    """A hash of the name, so that the same documents give the same memory anywhere."""
    digest = hashlib.sha256(name.encode("utf-8", "replace")).digest()
    return int.from_bytes(digest[:8], "big") % _SEEDS


def check_new_tenant(tenant: Tenant) -> None:
    """Refuse a tenant that no ledger can hold.

    Raises:
        InvalidInputError: what is wrong with it.
    """
    name = tenant.name
    printable = bool(name.strip()) and name.isprintable()
    if not printable or len(name) > _MAX_NAME or has_dots(name):
        raise InvalidInputError(
            f"{name[:_MAX_NAME]!r} cannot name a tenant; use 1 to {_MAX_NAME} printable "
            "characters, and no part '.' or '..' between slashes"
        )
    if not 0 <= tenant.seed < _SEEDS:
        raise InvalidInputError(f"the seed {tenant.seed} is not in 0 … 2^63 - 1")
    if tenant.precision not in PRECISIONS:
        raise InvalidInputError(f"{tenant.precision!r} is none of {', '.join(PRECISIONS)}")
    if tenant.retention not in RETENTIONS:
        raise InvalidInputError(f"{tenant.retention!r} is none of {', '.join(RETENTIONS)}")
    check_limits({name: getattr(tenant, name) for name in LIMITS})


def check_limits(limits: Mapping[str, Any]) -> None:
    """Refuse limits that are none; only these can be changed.

    Raises:
        InvalidInputError: what is wrong with the first.
    """
    for name, limit in limits.items():
        if name not in LIMITS:
            raise InvalidInputError(f"{name} is none of {', '.join(LIMITS)}")
        if limit is None:
            continue
        if name == "attribute_quotas":
            check_attribute_quotas(limit)
            continue
        if name == "threshold" and not 0 <= limit <= 1:
            raise InvalidInputError(f"{limit} is no threshold; use 0 … 1, or leave it out")
        if name == "ttl" and not 0 < limit < 1e11:
            raise InvalidInputError(f"{limit} is no ttl; use seconds above 0, or leave it out")
        if not 0 <= limit < 2**63:
            raise InvalidInputError(f"{limit} is no limit; use 0 or more, or leave it out")
