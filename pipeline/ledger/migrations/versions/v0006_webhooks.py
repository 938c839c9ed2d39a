"""Webhooks and what they are to be told, and limits of parts of a tenant."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("tenants", sa.Column("max_webhooks", sa.BigInteger(), nullable=True))
    op.add_column("jobs", sa.Column("finished", sa.Float(), nullable=True))
    op.create_index(
        "job_documents_by_document", "job_documents", ["tenant", "document"], unique=False
    )
    op.create_table(
        "webhooks",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("tenant", sa.String(length=32), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("events", sa.JSON(), nullable=False),
        sa.Column("description", sa.String(length=200), nullable=False),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("old_secret", sa.Text(), nullable=True),
        sa.Column("old_until", sa.Float(), nullable=True),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("failing_since", sa.Float(), nullable=True),
        sa.Column("created", sa.Float(), nullable=False),
        sa.Column("claim", sa.String(length=32), nullable=True),
        sa.Column("claimed_until", sa.Float(), nullable=False, server_default="0"),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name="webhooks_tenant_fk"),
        sa.PrimaryKeyConstraint("id", name="webhooks_pk"),
    )
    op.create_index("webhooks_by_tenant", "webhooks", ["tenant"], unique=False)
    op.create_table(
        "deliveries",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("tenant", sa.String(length=32), nullable=False),
        sa.Column("webhook", sa.String(length=32), nullable=False),
        sa.Column("event", sa.String(length=40), nullable=False),
        sa.Column("type", sa.String(length=40), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due", sa.Float(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("created", sa.Float(), nullable=False),
        sa.Column("finished", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(
            ["webhook"], ["webhooks.id"], name="deliveries_webhook_fk", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name="deliveries_tenant_fk"),
        sa.PrimaryKeyConstraint("id", name="deliveries_pk"),
    )
    op.create_index("deliveries_by_due", "deliveries", ["webhook", "state", "due"], unique=False)
    op.create_index("deliveries_by_time", "deliveries", ["tenant", "created"], unique=False)
    op.create_index("deliveries_by_end", "deliveries", ["created"], unique=False)
