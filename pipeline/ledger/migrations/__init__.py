"""The ledger's tables from one version to the next, with Alembic."""

HEAD = "0007"  # the version this program reads and writes
