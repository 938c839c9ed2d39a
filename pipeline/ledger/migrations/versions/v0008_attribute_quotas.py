"""Quotas of each session, each tag and each value of a field."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column("tenants", sa.Column("attribute_quotas", sa.JSON(), nullable=True))
