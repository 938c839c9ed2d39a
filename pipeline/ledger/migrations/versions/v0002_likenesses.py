"""By content: what is the same as, or nearly the same as, a document that is there."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_index("documents_by_content", "documents", ["tenant", "sha256"], unique=False)
    op.create_table(
        "likenesses",
        sa.Column("tenant", sa.String(length=32), nullable=False),
        sa.Column("band", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("document", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(
            ["document"], ["documents.id"], name="likenesses_document_fk", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name="likenesses_tenant_fk"),
        sa.PrimaryKeyConstraint("tenant", "band", "document", name="likenesses_pk"),
    )
    op.create_index("likenesses_by_document", "likenesses", ["document"], unique=False)
