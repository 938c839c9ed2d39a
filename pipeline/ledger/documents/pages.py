"""Documents page by page, and the passages of one document."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, func

from mplus_ray.model.errors import InvalidInputError
from mplus_ray.pipeline.ledger.documents.documents import (
    ChunkPassage,
    Document,
    DocumentState,
    find_document,
    head_step,
    select_shown,
    to_document,
    to_passage,
)
from mplus_ray.pipeline.ledger.filters.filter import Filter
from mplus_ray.pipeline.ledger.filters.matching import matching
from mplus_ray.pipeline.ledger.schema import chunks, documents, forgets
from mplus_ray.pipeline.ledger.tenant_scope import TenantScope
from mplus_ray.pipeline.parsing.document_id import storable

PAGE_BYTES = 1 << 20  # of what a page shows of its items
_CURSOR = re.compile(r"([0-9a-f]{32})-([0-9a-f]{1,14})", re.ASCII)


@dataclass(frozen=True)
class DocumentPage:
    """Some documents in the log's order.

    Attributes:
        next_cursor: where the next page begins; None if this was the last.
        documents: of this page.
    """

    documents: tuple[Document, ...]
    next_cursor: str | None


def read_page(
    connection: Connection,
    scope: TenantScope,
    limit: int,
    cursor: str | None = None,
    state: DocumentState | None = None,
    q: str | None = None,
    wanted: Filter | None = None,
) -> DocumentPage:
    """A page of documents, see `TenantLog.page`."""
    memorized = head_step(connection, scope)
    query = select_shown(scope).order_by(documents.c.first_step).limit(limit + 1)
    if cursor is not None:
        query = query.where(_behind(connection, scope, cursor))
    if state is not None:
        query = query.where(_in_state(scope, state, memorized))
    if q:
        named = (documents.c.title, documents.c.key)
        title, key = (column.icontains(storable(q), autoescape=True) for column in named)
        query = query.where(title | key)
    if wanted is not None:
        query = query.where(*matching(scope, wanted))
    found = [to_document(row, memorized) for row in connection.execute(query)]
    page = found[: min(limit, fitting([_size(document) for document in found]))]
    more = len(found) > len(page)
    return DocumentPage(tuple(page), _cursor(page[-1]) if more else None)


def fitting(sizes: Sequence[int]) -> int:
    """How many of the first items make a page of at most `PAGE_BYTES`, one in any case."""
    total = 0
    for count, size in enumerate(sizes):
        total += size
        if total > PAGE_BYTES:
            return max(1, count)
    return len(sizes)


def _size(document: Document) -> int:
    """Bytes of a document in a list, as JSON, more or less."""
    shown = [document.key, document.source, document.title, document.metadata]
    return len(json.dumps(shown))


def read_passages(
    connection: Connection,
    scope: TenantScope,
    key: str,
    from_step: int = 0,
    limit: int | None = None,
) -> list[ChunkPassage]:
    """A document's passages, see `TenantLog.passages`."""
    current = scope.select(documents).where(documents.c.key == key, documents.c.forget.is_(None))
    row = connection.execute(current).one_or_none()
    if row is None:
        find_document(connection, scope, key)  # which says so if it was never there
        return []
    spans = connection.execute(
        scope.select_found(chunks, chunks.c.document == row.id)
        .where(chunks.c.step >= from_step)
        .order_by(chunks.c.step)
        .limit(limit)
    )
    return [to_passage(row, span, row.text[span.start : span.end]) for span in spans]


def _cursor(last: Document) -> str:
    return f"{last.id}-{round(last.created * 1e6):x}"


def _behind(connection: Connection, scope: TenantScope, cursor: str) -> ColumnElement[bool]:
    """Documents after the one that a cursor names; if that is gone, those that came later."""
    form = _CURSOR.fullmatch(cursor)
    if form is None:
        raise InvalidInputError(
            "the cursor is not one that a page ended with; send it as it came, or list from the "
            "start"
        )
    query = scope.select(documents, documents.c.first_step).where(documents.c.id == form[1])
    step = connection.execute(query).scalar_one_or_none()
    if step is not None:
        return documents.c.first_step > step
    return documents.c.created >= int(form[2], 16) / 1e6


def _in_state(scope: TenantScope, state: DocumentState, memorized: int) -> ColumnElement[bool]:
    """So that rows of other states are hardly looked at: a row lies behind its text."""
    d = documents.c
    asked: Select[Any] = scope.select(forgets, forgets.c.document).where(
        forgets.c.rebuilt.is_(None)
    )
    if state == "forgetting":
        return d.id.in_(asked)
    kept = d.id.not_in(asked)
    if state == "memorized":
        return kept & (d.first_step < memorized) & (d.first_step + d.chunk_count <= memorized)
    last = scope.select(documents, func.max(d.first_step)).where(d.first_step <= memorized)
    first = func.coalesce(last.scalar_subquery(), 0)
    return kept & (d.first_step >= first) & (d.first_step + d.chunk_count > memorized)
