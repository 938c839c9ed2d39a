"""What is expired or being forgotten is found without reading all documents of a tenant."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    for name, column, condition in (
        ("documents_expiring", "expires_at", "expires_at IS NOT NULL"),
        ("documents_forgotten", "first_step", "forget IS NOT NULL"),
    ):
        where = sa.text(condition)
        op.create_index(
            name, "documents", ["tenant", column], sqlite_where=where, postgresql_where=where
        )
