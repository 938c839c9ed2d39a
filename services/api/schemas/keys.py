"""Keys and tenants: who may do what, and how much."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, Field, model_validator

from mplus_ray.services.api.schemas.base import Name, Request, Response, Time, example

Scope = Literal["query", "ingest", "admin"]
Limit = Annotated[int, Field(ge=0, lt=1 << 62)]


class NewKey(Request):
    """A key to the same tenant."""

    model_config = example({"name": "the website", "scopes": ["query"]})

    scopes: list[Scope] = Field(min_length=1, max_length=3)
    name: str = Field("", max_length=100)
    expires: AwareDatetime | None = Field(None, description="With an offset; null: never.")


class KeyInfo(Response):
    """A key without its secret, which nobody has but its owner."""

    id: str = Field(examples=["0badc0de"])
    name: str
    scopes: list[str]
    created: Time
    expires: Time | None
    revoked: Time | None
    used: Time | None = Field(description="Roughly, when it was used last.")


class CreatedKey(Response):
    """A new key. Its text is shown this once."""

    model_config = example(
        {
            "key": {
                "id": "0badc0de",
                "name": "the website",
                "scopes": ["query"],
                "created": "2026-03-01T12:00:00+00:00",
                "expires": None,
                "revoked": None,
                "used": None,
            },
            "secret": "mplus_0badc0de_…",
        }
    )

    key: KeyInfo
    secret: str = Field(description="For `Authorization: Bearer …`; keep it, it is not kept here.")


class Keys(Response):
    """Keys of one owner, also those that are revoked."""

    keys: list[KeyInfo]


class AttributeQuota(Request):
    """What each session, each tag, or each value of a field may have; null is no limit."""

    max_documents: Limit | None = None
    max_bytes: Limit | None = Field(
        None, description="Of rows, and of metadata beyond a KiB a document."
    )


class TenantSettings(Request):
    """What of a tenant can be changed at any time; null is no limit of its own."""

    model_config = example({"max_documents": 10000, "threshold": 0.5})

    max_documents: Limit | None = None
    max_bytes: Limit | None = None
    cold_after: float | None = Field(None, ge=0, lt=1e15, allow_inf_nan=False)
    documents_per_minute: Limit | None = None
    tokens_per_minute: Limit | None = None
    concurrent_questions: Limit | None = None
    threshold: float | None = Field(None, ge=0, le=1, allow_inf_nan=False)
    ttl: float | None = Field(
        None,
        gt=0,
        lt=1e11,
        allow_inf_nan=False,
        description="Seconds after which a document is forgotten that does not say when; of those "
        "that are handed in from now on.",
    )
    max_webhooks: Limit | None = None
    attribute_quotas: dict[str, AttributeQuota] | None = Field(
        None,
        max_length=10,
        description="What each `session`, each `tag`, or each value of a field of the metadata "
        "(`metadata.project`) may have. Given, it takes the place of all that were there.",
        examples=[{"session": {"max_documents": 1000}, "tag": {"max_bytes": 100000000}}],
    )


class NewTenant(TenantSettings):
    """A tenant; seed, precision and retention are for life."""

    model_config = example({"name": "anna", "precision": "bfloat16", "max_documents": 10000})

    name: Name
    seed: int | None = Field(None, ge=0, lt=1 << 63, description="By default a hash of the name.")
    precision: Literal["bfloat16", "float32", "float16", "int8"] | None = None
    retention: Literal["checkpoint", "unbounded"] | None = None

    @model_validator(mode="after")
    def _no_slash(self) -> Self:
        if "/" in self.name:
            raise ValueError("name must not contain a slash: such names are those of forks")
        return self


class Tenant(Response):
    """A tenant as the operator sees it."""

    model_config = example(
        {
            "name": "anna",
            "created": "2026-03-01T12:00:00+00:00",
            "documents": 7,
            "chunks": 120,
            "tokens": 30000,
            "step": 120,
            "bytes": 3932160,
            "seed": 42,
            "precision": "bfloat16",
            "retention": "checkpoint",
            "fingerprint": "90cd34dcea5681f82e3cfbecb26325f1",
            "settings": {"max_documents": 10000},
        }
    )

    name: str
    created: Time
    documents: int
    chunks: int
    tokens: int
    step: int = Field(description="How many of the chunks are memorized.")
    bytes: int
    seed: int
    precision: str
    retention: str
    fingerprint: str = Field(description="Of the weights that made its memory.")
    settings: TenantSettings


class Tenants(Response):
    """All tenants, by name."""

    tenants: list[Tenant]
