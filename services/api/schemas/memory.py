"""A tenant's memory: how much of it is on which tier, its named moments, and copies of it."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from mplus_ray.services.api.schemas.base import Name, Request, Response, Time, example
from mplus_ray.services.api.schemas.keys import AttributeQuota, KeyInfo


class Tiers(Response):
    """Rows over all layers, or what they take in bytes.

    Attributes:
        pool: read by every question.
        long_term: retrieved by those they are close to.
        forgotten: no longer readable, as the model was trained to forget or because a document
            was.
    """

    pool: int
    long_term: int
    forgotten: int


class Quotas(Response):
    """What the tenant may have; null is no limit."""

    max_documents: int | None
    max_bytes: int | None
    cold_after: float | None = Field(
        description="Seconds without use after which its rows may be dropped."
    )
    attribute_quotas: dict[str, AttributeQuota] | None = Field(
        description="What each `session`, `tag` or value of `metadata.…` may have."
    )


class TenantLimits(Response):
    """What the tenant may do."""

    documents_per_minute: int
    tokens_per_minute: int
    concurrent_questions: int
    threshold: float | None = Field(
        description="Confidence below which answers are withheld; null: the model's own, 0: never."
    )
    ttl: float | None = Field(
        description="Seconds after which a document is forgotten that does not say when."
    )


class Memory(Response):
    """A tenant's memory as it is."""

    model_config = example(
        {
            "tenant": "anna",
            "scopes": ["ingest", "query"],
            "model": "mplus-tiny",
            "step": 120,
            "waiting": 0,
            "documents": 7,
            "tokens": 30000,
            "layers": 8,
            "pool_rows": 512,
            "rows_per_step": 16,
            "rows": {"pool": 4096, "long_term": 11264, "forgotten": 0},
            "bytes": {"pool": 1048576, "long_term": 2883584, "forgotten": 0},
            "stored_bytes": 3932160,
            "quotas": {
                "max_documents": None,
                "max_bytes": None,
                "cold_after": None,
                "attribute_quotas": {"session": {"max_documents": 1000, "max_bytes": None}},
            },
            "limits": {
                "documents_per_minute": 6000,
                "tokens_per_minute": 5000000,
                "concurrent_questions": 32,
                "threshold": None,
                "ttl": None,
            },
            "precision": "bfloat16",
            "retention": "checkpoint",
        }
    )

    tenant: str
    scopes: list[str] = Field(description="Of the key that asked.")
    model: str
    step: int = Field(description="Steps that are memorized.")
    waiting: int = Field(description="Steps of the log that are not.")
    documents: int = Field(description="Without those that are being forgotten.")
    tokens: int = Field(description="Of the log.")
    layers: int
    pool_rows: int = Field(description="Rows of a full pool, in each layer.")
    rows_per_step: int = Field(description="In each layer.")
    rows: Tiers
    bytes: Tiers
    stored_bytes: int = Field(description="Of the files of its rows; a fork counts shared ones.")
    quotas: Quotas
    limits: TenantLimits
    precision: str
    retention: str


class MemoryUsage(Response):
    """What documents take up, as quotas count it; without those that are being forgotten."""

    model_config = example({"documents": 7, "steps": 120, "tokens": 30000, "bytes": 3932160})

    documents: int
    steps: int = Field(description="Of the log, memorized or not.")
    tokens: int
    bytes: int = Field(description="Of rows, and of metadata beyond a KiB a document.")


class MemoryMap(Response):
    """Where the rows of each step are, layer by layer: a picture of steps × layers.

    `pool[l][b]`, `long_term[l][b]` and `gone[l][b]` are numbers of rows of layer l that steps
    b·bucket + 1 … (b+1)·bucket wrote; the three add up to the steps of the bucket times
    `rows_per_step`. Rows that came with the model belong to no step and are not counted.
    """

    model_config = example(
        {
            "step": 3,
            "waiting": 0,
            "layers": 2,
            "rows_per_step": 4,
            "bucket": 1,
            "buckets": 3,
            "pool": [[1, 3, 4], [2, 2, 4]],
            "long_term": [[3, 1, 0], [2, 2, 0]],
            "gone": [[0, 0, 0], [0, 0, 0]],
        }
    )

    step: int
    waiting: int
    layers: int
    rows_per_step: int
    bucket: int = Field(description="Steps in each bucket; the last may have fewer.")
    buckets: int
    pool: list[list[int]]
    long_term: list[list[int]]
    gone: list[list[int]]


class NewSnapshot(Request):
    """A name for a moment of the memory."""

    model_config = example({"name": "before-march", "step": 120})

    name: Name
    step: int | None = Field(None, ge=0, lt=1 << 62, description="By default as it is now.")


class Snapshot(Response):
    """A named moment."""

    model_config = example(
        {"name": "before-march", "step": 120, "created": "2026-03-01T12:00:00+00:00"}
    )

    name: str
    step: int
    created: Time


class Snapshots(Response):
    """All named moments, by step."""

    snapshots: list[Snapshot]


class NewFork(Request):
    """A tenant of its own from the memory as it is, or as it was."""

    model_config = example({"name": "draft", "step": 120})

    name: Name = Field(description="The new tenant is called `<this tenant>/<name>`.")
    step: int | None = Field(None, ge=0, lt=1 << 62)

    @model_validator(mode="after")
    def _no_keys(self) -> Self:
        if "keys" in self.name.split("/"):
            raise ValueError("name must not be `keys`: that is the address of a tenant's keys")
        return self


class Fork(Response):
    """The new tenant, and the key to it, which is shown this once."""

    model_config = example(
        {
            "tenant": "anna/draft",
            "step": 120,
            "key": {
                "id": "0badc0de",
                "name": "fork of anna",
                "scopes": ["admin", "ingest", "query"],
                "created": "2026-03-01T12:00:00+00:00",
                "expires": None,
                "revoked": None,
                "used": None,
            },
            "secret": "mplus_0badc0de_…",
        }
    )

    tenant: str
    step: int
    key: KeyInfo
    secret: str
