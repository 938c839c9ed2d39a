"""The first tables: tenants, their logs, their heads, and what is being forgotten."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "tenants",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("precision", sa.String(length=16), nullable=False),
        sa.Column("retention", sa.String(length=16), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("max_documents", sa.BigInteger(), nullable=True),
        sa.Column("max_bytes", sa.BigInteger(), nullable=True),
        sa.Column("cold_after", sa.Float(), nullable=True),
        sa.Column("bytes_per_step", sa.BigInteger(), nullable=False),
        sa.Column("geometry", sa.JSON(), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.Column("used", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="tenants_pk"),
        sa.UniqueConstraint("name", name="tenants_name_uq"),
    )
    op.create_table(
        "documents",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("tenant", sa.String(length=32), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("metadata", sa.JSON(), nullable=False),
        sa.Column("first_step", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("chunk_count", sa.Integer(), nullable=False),
        sa.Column("tokens", sa.BigInteger(), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.Column("memorized", sa.Float(), nullable=True),
        sa.Column("forget", sa.String(length=32), nullable=True),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name="documents_tenant_fk"),
        sa.PrimaryKeyConstraint("id", name="documents_pk"),
    )
    op.create_index(
        "documents_by_key",
        "documents",
        ["tenant", "key"],
        unique=True,
        sqlite_where=sa.text("forget IS NULL"),
        postgresql_where=sa.text("forget IS NULL"),
    )
    op.create_index("documents_by_step", "documents", ["tenant", "first_step"], unique=True)
    op.create_table(
        "failures",
        sa.Column("tenant", sa.String(length=32), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name="failures_tenant_fk"),
        sa.PrimaryKeyConstraint("tenant", "source", name="failures_pk"),
    )
    op.create_table(
        "forgets",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("tenant", sa.String(length=32), nullable=False),
        sa.Column("document", sa.String(length=32), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("requested", sa.Float(), nullable=False),
        sa.Column("masked", sa.Float(), nullable=False),
        sa.Column("rebuilt", sa.Float(), nullable=True),
        sa.Column("purged", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name="forgets_tenant_fk"),
        sa.PrimaryKeyConstraint("id", name="forgets_pk"),
    )
    op.create_index("forgets_by_key", "forgets", ["tenant", "key"], unique=False)
    op.create_table(
        "heads",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("tenant", sa.String(length=32), nullable=False),
        sa.Column("fingerprint", sa.String(length=128), nullable=False),
        sa.Column("serving", sa.Boolean(), nullable=False),
        sa.Column("step", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("history", sa.String(length=32), nullable=False),
        sa.Column("excluded", sa.JSON(), nullable=False),
        sa.Column("reason", sa.String(length=16), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.Column("committed", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name="heads_tenant_fk"),
        sa.PrimaryKeyConstraint("id", name="heads_pk"),
        sa.UniqueConstraint("tenant", "serving", name="heads_tenant_serving_uq"),
    )
    op.create_table(
        "cuts",
        sa.Column("head", sa.String(length=32), nullable=False),
        sa.Column("step", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("tenant", sa.String(length=32), nullable=False),
        sa.Column("document", sa.String(length=32), nullable=False),
        sa.Column("start", sa.Integer(), nullable=False),
        sa.Column("end", sa.Integer(), nullable=False),
        sa.Column("tokens", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["document"], ["documents.id"], name="cuts_document_fk"),
        sa.ForeignKeyConstraint(["head"], ["heads.id"], name="cuts_head_fk"),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name="cuts_tenant_fk"),
        sa.PrimaryKeyConstraint("head", "step", name="cuts_pk"),
    )
    op.create_index("cuts_by_document", "cuts", ["document"], unique=False)
    op.create_table(
        "garbage",
        sa.Column("tenant", sa.String(length=32), nullable=False),
        sa.Column("file", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name="garbage_tenant_fk"),
        sa.PrimaryKeyConstraint("tenant", "file", name="garbage_pk"),
    )
    op.create_table(
        "leases",
        sa.Column("tenant", sa.String(length=32), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("expires", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name="leases_tenant_fk"),
        sa.PrimaryKeyConstraint("tenant", name="leases_pk"),
    )
    op.create_table(
        "snapshots",
        sa.Column("tenant", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("step", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name="snapshots_tenant_fk"),
        sa.PrimaryKeyConstraint("tenant", "name", name="snapshots_pk"),
    )
    op.create_table(
        "chunks",
        sa.Column("tenant", sa.String(length=32), nullable=False),
        sa.Column("step", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("document", sa.String(length=32), nullable=False),
        sa.Column("start", sa.Integer(), nullable=False),
        sa.Column("end", sa.Integer(), nullable=False),
        sa.Column("tokens", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["document"], ["documents.id"], name="chunks_document_fk"),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name="chunks_tenant_fk"),
        sa.PrimaryKeyConstraint("tenant", "step", name="chunks_pk"),
    )
    op.create_index("chunks_by_document", "chunks", ["document"], unique=False)
    op.create_table(
        "shards",
        sa.Column("head", sa.String(length=32), nullable=False),
        sa.Column("first_step", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("tenant", sa.String(length=32), nullable=False),
        sa.Column("steps", sa.BigInteger(), nullable=False),
        sa.Column("file", sa.Text(), nullable=False),
        sa.Column("checksum", sa.String(length=64), nullable=False),
        sa.Column("nbytes", sa.BigInteger(), nullable=False),
        sa.Column("layout", sa.JSON(), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["head"], ["heads.id"], name="shards_head_fk"),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name="shards_tenant_fk"),
        sa.PrimaryKeyConstraint("head", "first_step", name="shards_pk"),
    )
    op.create_index("shards_by_file", "shards", ["file"], unique=False)
    op.create_index("shards_by_tenant", "shards", ["tenant"], unique=False)
    op.create_table(
        "states",
        sa.Column("head", sa.String(length=32), nullable=False),
        sa.Column("step", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("tenant", sa.String(length=32), nullable=False),
        sa.Column("file", sa.Text(), nullable=False),
        sa.Column("checksum", sa.String(length=64), nullable=False),
        sa.Column("nbytes", sa.BigInteger(), nullable=False),
        sa.Column("history", sa.String(length=32), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["head"], ["heads.id"], name="states_head_fk"),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name="states_tenant_fk"),
        sa.PrimaryKeyConstraint("head", "step", name="states_pk"),
    )
    op.create_index("states_by_file", "states", ["file"], unique=False)
    op.create_index("states_by_tenant", "states", ["tenant"], unique=False)
