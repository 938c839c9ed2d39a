"""The ledger's tables from one version to the next, with Alembic."""

HEAD = "0008"  # the version this program reads and writes
