"""The tables of the log. Offsets and steps count from 0; times are seconds since the epoch."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
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
)

metadata = MetaData()

tenants = Table(
    "tenants",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("name", String(200), nullable=False, unique=True),
    Column("seed", BigInteger, nullable=False),
    Column("fingerprint", String(128), nullable=False),
    Column("created", Float, nullable=False),
)

documents = Table(
    "documents",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("tenant", String(32), ForeignKey("tenants.id"), nullable=False),
    Column("source", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("text", Text, nullable=False),
    Column("metadata", JSON, nullable=False),
    Column("first_step", BigInteger, nullable=False),
    Column("chunk_count", Integer, nullable=False),
    Column("created", Float, nullable=False),
    UniqueConstraint("tenant", "source", "sha256"),
    Index("documents_by_step", "tenant", "first_step", unique=True),
)

chunks = Table(
    "chunks",
    metadata,
    Column("tenant", String(32), ForeignKey("tenants.id"), primary_key=True),
    Column("step", BigInteger, primary_key=True, autoincrement=False),
    Column("document", String(32), ForeignKey("documents.id"), nullable=False),
    Column("start", Integer, nullable=False),
    Column("end", Integer, nullable=False),
    Column("tokens", Integer, nullable=False),
)
