"""What filters look at, when things happened, and when documents are to be forgotten."""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

from mplus_ray.pipeline.ledger.filters.attributes import attributes_of
from mplus_ray.pipeline.parsing.document import Details

revision = "0005"
down_revision = "0004"

_DOCUMENTS = sa.table(
    "documents", sa.column("id"), sa.column("tenant"), sa.column("metadata", sa.JSON())
)


def upgrade() -> None:
    op.add_column("tenants", sa.Column("ttl", sa.Float(), nullable=True))
    for column in (
        sa.Column("session", sa.String(length=200), nullable=True),
        sa.Column("tags", sa.JSON(), nullable=False, server_default="[]"),
        sa.Column("occurred_at", sa.Float(), nullable=True),
        sa.Column("expires_at", sa.Float(), nullable=True),
    ):
        op.add_column("documents", column)
    op.create_index("documents_by_expiry", "documents", ["expires_at"], unique=False)
    op.add_column(
        "forgets",
        sa.Column("reason", sa.String(length=16), nullable=False, server_default="asked"),
    )
    op.add_column("forgets", sa.Column("batch", sa.String(length=32), nullable=True))
    op.create_index("forgets_by_batch", "forgets", ["tenant", "batch"], unique=False)
    text = sa.String(length=300).with_variant(sa.String(length=300, collation="C"), "postgresql")
    attributes = op.create_table(
        "attributes",
        sa.Column("tenant", sa.String(length=32), nullable=False),
        sa.Column("name", text, nullable=False),
        sa.Column("value", text, nullable=False),
        sa.Column("document", sa.String(length=32), nullable=False),
        sa.Column("number", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(
            ["document"], ["documents.id"], name="attributes_document_fk", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name="attributes_tenant_fk"),
        sa.PrimaryKeyConstraint("tenant", "name", "value", "document", name="attributes_pk"),
    )
    op.create_index(
        "attributes_by_number", "attributes", ["tenant", "name", "number"], unique=False
    )
    op.create_index("attributes_by_document", "attributes", ["document"], unique=False)
    connection = op.get_bind()
    every = sa.select(_DOCUMENTS).execution_options(yield_per=1000)
    for row in connection.execute(every).partitions():
        rows = [
            {**each, "tenant": tenant, "document": document}
            for document, tenant, metadata in row
            for each in attributes_of(_shown(metadata), Details())
        ]
        if rows:
            connection.execute(sa.insert(attributes), rows)


def _shown(metadata: object) -> dict[str, object]:
    """Without what the ledger itself keeps there."""
    known = json.loads(metadata) if isinstance(metadata, str) else metadata
    return {n: v for n, v in known.items() if n != "sections"} if isinstance(known, dict) else {}
