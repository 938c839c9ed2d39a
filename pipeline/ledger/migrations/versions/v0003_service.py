"""What the query service keeps: keys, jobs, answers given, limits of tenants, versions of heads."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    for name, kind in (
        ("documents_per_minute", sa.BigInteger()),
        ("tokens_per_minute", sa.BigInteger()),
        ("concurrent_questions", sa.BigInteger()),
        ("threshold", sa.Float()),
        ("wanted", sa.Float()),
    ):
        op.add_column("tenants", sa.Column(name, kind, nullable=True))
    op.add_column(
        "heads", sa.Column("version", sa.BigInteger(), nullable=False, server_default="0")
    )
    op.create_table(
        "keys",
        sa.Column("id", sa.String(length=8), nullable=False),
        sa.Column("tenant", sa.String(length=32), nullable=True),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.Column("expires", sa.Float(), nullable=True),
        sa.Column("revoked", sa.Float(), nullable=True),
        sa.Column("used", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name="keys_tenant_fk"),
        sa.PrimaryKeyConstraint("id", name="keys_pk"),
    )
    op.create_index("keys_by_tenant", "keys", ["tenant"], unique=False)
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("tenant", sa.String(length=32), nullable=False),
        sa.Column("documents", sa.Integer(), nullable=False),
        sa.Column("failed", sa.JSON(), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name="jobs_tenant_fk"),
        sa.PrimaryKeyConstraint("id", name="jobs_pk"),
    )
    op.create_index("jobs_by_time", "jobs", ["tenant", "created"], unique=False)
    op.create_table(
        "job_documents",
        sa.Column("job", sa.String(length=32), nullable=False),
        sa.Column("document", sa.String(length=32), nullable=False),
        sa.Column("tenant", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(
            ["job"], ["jobs.id"], name="job_documents_job_fk", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name="job_documents_tenant_fk"),
        sa.PrimaryKeyConstraint("job", "document", name="job_documents_pk"),
    )
    op.create_index("job_documents_by_tenant", "job_documents", ["tenant"], unique=False)
    op.create_table(
        "answers",
        sa.Column("tenant", sa.String(length=32), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("response", sa.Text(), nullable=True),
        sa.Column("created", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name="answers_tenant_fk"),
        sa.PrimaryKeyConstraint("tenant", "key", name="answers_pk"),
    )
