"""Which of a tenant's documents came from a file or a folder."""

from __future__ import annotations

from sqlalchemy import or_

from mplus_ray.pipeline.ledger.schema import documents
from mplus_ray.pipeline.ledger.tenant_scope import TenantScope


def sources_below(scope: TenantScope, folder: str) -> list[tuple[str, str]]:
    """Id and source of every document that came from a file of a folder."""
    c = documents.c
    begin = folder.rstrip("/") + "/"
    query = scope.select(documents, c.key, c.source).where(
        c.source.startswith(begin, autoescape=True), c.forget.is_(None)
    )
    with scope.reading() as connection:
        return [(row.key, row.source) for row in connection.execute(query)]


def sources_of(scope: TenantScope, file: str) -> list[tuple[str, str]]:
    """Id and source of every document that came from a file, alone or as one of many."""
    c = documents.c
    query = scope.select(documents, c.key, c.source).where(
        or_(c.source == file, c.source.startswith(f"{file}#", autoescape=True)),
        c.forget.is_(None),
    )
    with scope.reading() as connection:
        found = [(row.key, row.source) for row in connection.execute(query)]
    # A file may be called like another one's row: `a.csv#b.csv`.
    return [(key, s) for key, s in found if s == file or s.removeprefix(f"{file}#").isdigit()]
