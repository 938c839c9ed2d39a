"""The tables of the ledger, for SQLite and PostgreSQL alike.

Offsets and steps count from 0; times are seconds since the epoch; ids are 32 hex digits. Every
table but `tenants` has a tenant column, and `pipeline/ledger/tenant_scope.py` is the way to its
rows; only `keys` has rows of no tenant, the operator's, and `pipeline/ledger/api_keys.py` is the
way to those. A change here needs a migration beside it.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pk",
        "fk": "%(table_name)s_%(column_0_name)s_fk",
        "uq": "%(table_name)s_%(column_0_N_name)s_uq",
    }
)

_ID = String(32)
# Compared by code points in either database.
_CODE_POINTS = String(300).with_variant(String(300, collation="C"), "postgresql")


def _tenant(*, key: bool = False) -> Column[str]:
    return Column("tenant", _ID, ForeignKey("tenants.id"), primary_key=key, nullable=False)


def _step(name: str, *, key: bool = False) -> Column[int]:
    return Column(name, BigInteger, primary_key=key, autoincrement=False, nullable=False)


tenants = Table(
    "tenants",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("name", String(200), nullable=False, unique=True),
    Column("seed", BigInteger, nullable=False),
    Column("precision", String(16), nullable=False),
    Column("retention", String(16), nullable=False),
    Column("status", String(16), nullable=False),  # active, deleting
    Column("max_documents", BigInteger),
    Column("max_bytes", BigInteger),
    Column("cold_after", Float),  # seconds without use
    Column("documents_per_minute", BigInteger),
    Column("tokens_per_minute", BigInteger),
    Column("concurrent_questions", BigInteger),
    Column("threshold", Float),  # confidence below which no answer is given
    Column("bytes_per_step", BigInteger, nullable=False),
    Column("geometry", JSON, nullable=False),
    Column("created", Float, nullable=False),
    Column("used", Float, nullable=False),
    Column("ttl", Float),  # seconds after which a document is forgotten that says nothing else
    Column("wanted", Float),  # since when somebody waits for a memory that was dropped
    Column("max_webhooks", BigInteger),
    Column("attribute_quotas", JSON(none_as_null=True)),  # by session, tag, field of metadata
    Column("origin", _ID),  # of a fork: the tenant that it goes back to, there or not
)

documents = Table(
    "documents",
    metadata,
    Column("id", _ID, primary_key=True),
    _tenant(),
    Column("key", Text, nullable=False),  # the id that the user knows
    Column("source", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("text", Text, nullable=False),
    Column("metadata", JSON, nullable=False),
    Column("metadata_bytes", BigInteger, nullable=False, server_default="0"),  # as JSON
    _step("first_step"),
    Column("chunk_count", Integer, nullable=False),
    Column("tokens", BigInteger, nullable=False),
    Column("created", Float, nullable=False),
    Column("memorized", Float),
    Column("forget", _ID),  # the request that is removing it
    Column("session", String(200)),
    Column("tags", JSON, nullable=False, server_default="[]"),
    Column("occurred_at", Float),  # none: when it was taken in
    Column("expires_at", Float),
    Index("documents_by_expiry", "expires_at"),
    Index(
        "documents_expiring",
        "tenant",
        "expires_at",
        sqlite_where=text("expires_at IS NOT NULL"),
        postgresql_where=text("expires_at IS NOT NULL"),
    ),
    Index(
        "documents_forgotten",
        "tenant",
        "first_step",
        sqlite_where=text("forget IS NOT NULL"),
        postgresql_where=text("forget IS NOT NULL"),
    ),
    Index("documents_by_content", "tenant", "sha256"),
    Index("documents_by_step", "tenant", "first_step", unique=True),
    Index(
        "documents_by_key",
        "tenant",
        "key",
        unique=True,
        sqlite_where=text("forget IS NULL"),
        postgresql_where=text("forget IS NULL"),
    ),
)

# Folded MinHash values, by which documents that are nearly the same find each other.
likenesses = Table(
    "likenesses",
    metadata,
    _tenant(key=True),
    Column("band", BigInteger, primary_key=True, autoincrement=False),
    Column("document", _ID, ForeignKey("documents.id", ondelete="CASCADE"), primary_key=True),
    Index("likenesses_by_document", "document"),
)

# What filters look at: sessions, tags and metadata, an entry of a list in a row of its own.
attributes = Table(
    "attributes",
    metadata,
    _tenant(key=True),
    Column("name", _CODE_POINTS, primary_key=True),
    Column("value", _CODE_POINTS, primary_key=True),
    Column("document", _ID, ForeignKey("documents.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Float),  # of a value that is one
    Index("attributes_by_number", "tenant", "name", "number"),
    Index("attributes_by_document", "document"),
)

chunks = Table(
    "chunks",
    metadata,
    _tenant(key=True),
    _step("step", key=True),
    Column("document", _ID, ForeignKey("documents.id"), nullable=False),
    Column("start", Integer, nullable=False),
    Column("end", Integer, nullable=False),
    Column("tokens", Integer, nullable=False),
    Index("chunks_by_document", "document"),
)

# The chunks of a head that is built with a model that cuts the log otherwise.
cuts = Table(
    "cuts",
    metadata,
    Column("head", _ID, ForeignKey("heads.id"), primary_key=True),
    _step("step", key=True),
    _tenant(),
    Column("document", _ID, ForeignKey("documents.id"), nullable=False),
    Column("start", Integer, nullable=False),
    Column("end", Integer, nullable=False),
    Column("tokens", Integer, nullable=False),
    Index("cuts_by_document", "document"),
)

heads = Table(
    "heads",
    metadata,
    Column("id", _ID, primary_key=True),
    _tenant(),
    Column("fingerprint", String(128), nullable=False),
    Column("serving", Boolean, nullable=False),
    _step("step"),
    Column("epoch", BigInteger, nullable=False),  # of the last commit
    Column("history", String(32), nullable=False),  # hex; empty at step 0
    Column("excluded", JSON, nullable=False),  # ids of documents that are left out
    Column("reason", String(16), nullable=False),  # serving, forget, upgrade
    Column("created", Float, nullable=False),
    Column("committed", Float, nullable=False),
    # Grows with every change to what a reader is told: steps, files, masks.
    Column("version", BigInteger, nullable=False, server_default="0"),
    UniqueConstraint("tenant", "serving"),  # one serves, at most one is being built
)


def _file_columns() -> list[Column[str]]:
    return [
        Column("file", Text, nullable=False),
        Column("checksum", String(64), nullable=False),
    ]


shards = Table(
    "shards",
    metadata,
    Column("head", _ID, ForeignKey("heads.id"), primary_key=True),
    _step("first_step", key=True),
    _tenant(),
    Column("steps", BigInteger, nullable=False),
    *_file_columns(),
    Column("nbytes", BigInteger, nullable=False),
    Column("layout", JSON, nullable=False),
    Column("created", Float, nullable=False),
    Index("shards_by_file", "file"),
    Index("shards_by_tenant", "tenant"),
)

states = Table(
    "states",
    metadata,
    Column("head", _ID, ForeignKey("heads.id"), primary_key=True),
    _step("step", key=True),
    _tenant(),
    *_file_columns(),
    Column("nbytes", BigInteger, nullable=False),
    Column("history", String(32), nullable=False),
    Column("created", Float, nullable=False),
    Index("states_by_file", "file"),
    Index("states_by_tenant", "tenant"),
)

leases = Table(
    "leases",
    metadata,
    _tenant(key=True),
    Column("epoch", BigInteger, nullable=False),
    Column("owner", Text, nullable=False),  # empty: nobody
    Column("expires", Float, nullable=False),
)

# Files that a head ceased to name, until they are deleted or found to be another's as well.
garbage = Table("garbage", metadata, _tenant(key=True), Column("file", Text, primary_key=True))

snapshots = Table(
    "snapshots",
    metadata,
    _tenant(key=True),
    Column("name", String(200), primary_key=True),
    _step("step"),
    Column("created", Float, nullable=False),
)

forgets = Table(
    "forgets",
    metadata,
    Column("id", _ID, primary_key=True),
    _tenant(),
    Column("document", _ID, nullable=False),  # survives it
    Column("key", Text, nullable=False),
    Column("requested", Float, nullable=False),
    Column("masked", Float, nullable=False),
    Column("rebuilt", Float),
    Column("purged", Float),
    Column("reason", String(16), nullable=False, server_default="asked"),  # replaced, expired
    Column("batch", _ID),  # that it was asked for with others
    Index("forgets_by_key", "tenant", "key"),
    Index("forgets_by_batch", "tenant", "batch"),
)

failures = Table(
    "failures",
    metadata,
    _tenant(key=True),
    Column("source", Text, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("created", Float, nullable=False),
)

keys = Table(
    "keys",
    metadata,
    Column("id", String(8), primary_key=True),
    Column("tenant", _ID, ForeignKey("tenants.id")),  # none: the operator's
    Column("name", String(100), nullable=False),
    Column("sha256", String(64), nullable=False),  # of the whole key
    Column("scopes", JSON, nullable=False),
    Column("created", Float, nullable=False),
    Column("expires", Float),
    Column("revoked", Float),
    Column("used", Float),  # to the minute
    Index("keys_by_tenant", "tenant"),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", _ID, primary_key=True),
    _tenant(),
    Column("documents", Integer, nullable=False),
    Column("failed", JSON, nullable=False),  # (source, reason) of those that were refused
    Column("created", Float, nullable=False),
    Column("finished", Float),  # when webhooks were told of its end
    Index("jobs_by_time", "tenant", "created"),
)

job_documents = Table(
    "job_documents",
    metadata,
    Column("job", _ID, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("document", _ID, primary_key=True),  # survives it
    _tenant(),
    Index("job_documents_by_tenant", "tenant"),
    Index("job_documents_by_document", "tenant", "document"),
)

# Requests that must not be done twice, and what was answered.
answers = Table(
    "answers",
    metadata,
    _tenant(key=True),
    Column("key", String(255), primary_key=True),
    Column("digest", String(64), nullable=False),  # of the request
    Column("status", Integer),  # none while the first request is at work
    Column("response", Text),
    Column("created", Float, nullable=False),
)

webhooks = Table(
    "webhooks",
    metadata,
    Column("id", _ID, primary_key=True),
    _tenant(),
    Column("url", Text, nullable=False),
    Column("events", JSON, nullable=False),  # kinds that it is told of; empty: all
    Column("description", String(200), nullable=False),
    Column("secret", Text, nullable=False),  # signs, so it is kept as it is
    Column("old_secret", Text),  # signs as well until `old_until`
    Column("old_until", Float),
    Column("enabled", Boolean, nullable=False),
    Column("reason", Text),  # why the service disabled it
    Column("failing_since", Float),
    Column("created", Float, nullable=False),
    Column("claim", _ID),  # of whoever delivers to it
    Column("claimed_until", Float, nullable=False, server_default="0"),
    Index("webhooks_by_tenant", "tenant"),
)

# An event that one webhook is told of.
deliveries = Table(
    "deliveries",
    metadata,
    Column("id", _ID, primary_key=True),
    _tenant(),
    Column("webhook", _ID, ForeignKey("webhooks.id", ondelete="CASCADE"), nullable=False),
    Column("event", String(40), nullable=False),  # the same for all webhooks and attempts
    Column("type", String(40), nullable=False),
    Column("payload", Text, nullable=False),  # the body, byte by byte
    Column("state", String(16), nullable=False),  # waiting, delivered, failed
    Column("attempts", Integer, nullable=False),
    Column("due", Float, nullable=False),
    Column("status", Integer),  # of the last response
    Column("error", Text),  # of the last attempt
    Column("created", Float, nullable=False),
    Column("finished", Float),
    Index("deliveries_by_due", "webhook", "state", "due"),
    Index("deliveries_by_time", "tenant", "created"),
    Index("deliveries_by_end", "created"),
)

# Children before their parents, as rows have to be deleted.
TENANT_TABLES: tuple[Table, ...] = tuple(
    table for table in reversed(metadata.sorted_tables) if table is not tenants
)
