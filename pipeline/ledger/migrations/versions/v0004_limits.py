"""What limits count: the tenant that a fork goes back to, and the bytes of metadata."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("tenants", sa.Column("origin", sa.String(length=32), nullable=True))
    op.add_column(
        "documents",
        sa.Column("metadata_bytes", sa.BigInteger(), nullable=False, server_default="0"),
    )
