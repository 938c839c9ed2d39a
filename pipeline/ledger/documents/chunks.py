"""A log's chunks in their order, as writers read them: document by document."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row

from mplus_ray.model.errors import StorageError
from mplus_ray.pipeline.chunking.headers import Headings
from mplus_ray.pipeline.ledger.heads.renumbering import step_map
from mplus_ray.pipeline.ledger.schema import chunks, documents
from mplus_ray.pipeline.ledger.tenant_scope import TenantScope


@dataclass(frozen=True)
class Chunk:
    """One step's text, and the title and section it stands under.

    Attributes:
        step: of the log.
        text: without the header.
        heading: title and section, as far as the text does not begin with them.
    """

    step: int
    text: str
    heading: tuple[str, ...] = ()


def read_chunks(
    scope: TenantScope, from_step: int, excluded: Collection[str] = ()
) -> Iterator[Chunk]:
    """The steps from `from_step` on, see `TenantLog.chunks`."""
    with scope.reading() as connection:
        left_out = step_map(connection, scope, excluded)
    step = from_step
    while found := _document_at(scope, left_out.to_log(step)):
        document, spans = found
        text = document.text
        headings = Headings(document.title, document.metadata.get("sections", []))
        for span in spans:
            heading = headings.at(text, span.start)
            yield Chunk(left_out.to_head(span.step), text[span.start : span.end], heading)
        step += len(spans)


def _document_at(scope: TenantScope, step: int) -> tuple[Row[Any], Sequence[Row[Any]]] | None:
    """The document of a step and its spans from there on."""
    query = (
        scope.select(documents)
        .where(documents.c.first_step <= step)
        .order_by(documents.c.first_step.desc())
        .limit(1)
    )
    with scope.reading() as connection:
        document = connection.execute(query).one_or_none()
        if document is None or step >= document.first_step + document.chunk_count:
            return None
        spans = connection.execute(
            scope.select(chunks)
            .where(chunks.c.step >= step)
            .where(chunks.c.step < document.first_step + document.chunk_count)
            .order_by(chunks.c.step)
        ).all()
    if not spans:
        raise StorageError(f"the log has no chunk at step {step}; the ledger is damaged")
    return document, spans
