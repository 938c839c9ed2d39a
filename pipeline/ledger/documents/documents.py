"""Documents and passages as they are shown: text is there only where it is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Row, Select, func

from mplus_ray.model.errors import (
    DocumentNotFoundError,
    InvalidInputError,
    StorageError,
    SwappedError,
)
from mplus_ray.pipeline.chunking.headers import section_at
from mplus_ray.pipeline.ledger.filters.attributes import own_metadata
from mplus_ray.pipeline.ledger.filters.filter import Filter
from mplus_ray.pipeline.ledger.filters.index import details_of
from mplus_ray.pipeline.ledger.filters.matching import matching
from mplus_ray.pipeline.ledger.schema import chunks, documents, heads
from mplus_ray.pipeline.ledger.tenant_scope import TenantScope
from mplus_ray.pipeline.parsing.document import Details

DocumentState = Literal["forgetting", "memorized", "waiting"]


@dataclass(frozen=True)
class Document:
    """A document of the log, without its text.

    Attributes:
        id: internal; it tells versions of one document apart.
        key: the id that the user knows.
        first_step, end: its steps in the log are first_step … end - 1.
        created, memorized: seconds since the epoch; None while it was never memorized.
        forget: id of the request that is removing it.
        source: where it came from.
        title: for people, and for its chunks' headers.
        sha256: of its text, in hex.
        metadata: its format, its sections, and what came with it.
        state: how far it is.
        tokens: of all its chunks.
        details: session, tags and times, as its owner says.
    """

    id: str
    key: str
    source: str
    title: str
    sha256: str
    metadata: dict[str, Any]
    state: DocumentState
    first_step: int
    end: int
    tokens: int
    created: float
    memorized: float | None
    forget: str | None
    details: Details


@dataclass(frozen=True)
class ChunkPassage:
    """Where a step's text stands: the document, its section and the exact characters.

    Attributes:
        step: of the log.
        document, key: its document's internal id, and the one that the user knows.
        title, source: of the document.
        section: the heading above it; None without one.
        text: its characters `start` … `end` - 1.
        start, end: offsets in the document's text.
    """

    step: int
    document: str
    key: str
    title: str
    source: str
    section: str | None
    text: str
    start: int
    end: int

    @property
    def where(self) -> str:
        """As a person would name it."""
        more = self.section and self.section != self.title
        return f"{self.title}, {self.section}" if more else self.title


def list_documents(
    connection: Connection,
    scope: TenantScope,
    limit: int | None,
    after: str | None,
    wanted: Filter | None = None,
) -> list[Document]:
    """Documents in the log's order, from the one after the internal id `after` on."""
    query = select_shown(scope).order_by(documents.c.first_step).limit(limit)
    if wanted is not None:
        query = query.where(*matching(scope, wanted))
    if after is not None:
        last = scope.select(documents, documents.c.first_step).where(documents.c.id == after)
        step = connection.execute(last).scalar_one_or_none()
        if step is None:
            raise InvalidInputError(
                f"the document {after!r}, where the list was to go on, is gone; list from the start"
            )
        query = query.where(documents.c.first_step > step)
    memorized = head_step(connection, scope)
    return [to_document(row, memorized) for row in connection.execute(query)]


def find_document(connection: Connection, scope: TenantScope, key: str) -> Document:
    """The current version of a document; while only forgotten ones are left, the last of them."""
    named = select_shown(scope).where(documents.c.key == key)
    # One after the other: together they would read all documents of the tenant.
    row = connection.execute(named.where(documents.c.forget.is_(None))).one_or_none()
    if row is None:
        gone = named.where(documents.c.forget.is_not(None))
        row = connection.execute(gone.order_by(documents.c.first_step.desc()).limit(1)).first()
    if row is None:
        raise unknown_document(key)
    return to_document(row, head_step(connection, scope))


def find_passages(
    connection: Connection, scope: TenantScope, steps: Sequence[int], head: str | None
) -> list[ChunkPassage]:
    """The texts of `steps`, in the numbering of the serving head.

    Of a document's text only these parts are read, and the rest of it once.
    """
    if head is not None and head != _serving(connection, scope).id:
        raise SwappedError(
            "the memory that was asked has been replaced meanwhile, and its steps are numbered "
            "anew; ask again"
        )
    part = func.substr(documents.c.text, chunks.c.start + 1, chunks.c.end - chunks.c.start)
    of_it = (documents.c.tenant == chunks.c.tenant) & (documents.c.id == chunks.c.document)
    query = scope.select(chunks, *chunks.c, part.label("text")).join(documents, of_it)
    found = connection.execute(query.where(chunks.c.step.in_(steps)))
    spans = {row.step: row for row in found}
    missing = [step for step in steps if step not in spans]
    if missing:
        raise StorageError(
            f"the memory names step {missing[0]}, which is not in the log; the memory's files and "
            "the ledger are of different origin"
        )
    ids = sorted({span.document for span in spans.values()})
    whole = connection.execute(scope.select_by_ids(documents, ids, *_shown()))
    rows = {row.id: row for row in whole}
    return [to_passage(rows[s.document], s, s.text) for s in (spans[step] for step in steps)]


def head_step(connection: Connection, scope: TenantScope) -> int:
    """How many steps the serving head has."""
    return int(_serving(connection, scope).step)


def unknown_document(key: str) -> DocumentNotFoundError:
    return DocumentNotFoundError(
        f"there is no document {key!r}; list the tenant's documents to find its id"
    )


def _serving(connection: Connection, scope: TenantScope) -> Row[Any]:
    return connection.execute(
        scope.select(heads, heads.c.id, heads.c.step).where(heads.c.serving)
    ).one()


def select_shown(scope: TenantScope) -> Select[Any]:
    """All but the texts."""
    return scope.select(documents, *_shown())


def _shown() -> list[ColumnElement[Any]]:
    return [column for column in documents.c if column is not documents.c.text]


def to_document(row: Row[Any], memorized: int) -> Document:
    end = row.first_step + row.chunk_count
    state: DocumentState = "memorized" if end <= memorized else "waiting"
    return Document(
        id=row.id,
        key=row.key,
        source=row.source,
        title=row.title,
        sha256=row.sha256,
        metadata=own_metadata(row.metadata),
        state=state if row.forget is None else "forgetting",
        first_step=row.first_step,
        end=end,
        tokens=row.tokens,
        created=row.created,
        memorized=row.memorized,
        forget=row.forget,
        details=details_of(row),
    )


def to_passage(row: Row[Any], span: Row[Any], text: str) -> ChunkPassage:
    """The passage of a document's row that a chunk's row cuts out of it.

    Args:
        text: of the passage.
    """
    return ChunkPassage(
        step=span.step,
        document=row.id,
        key=row.key,
        title=row.title,
        source=row.source,
        section=section_at(row.metadata.get("sections", []), span.start),
        text=text,
        start=span.start,
        end=span.end,
    )
