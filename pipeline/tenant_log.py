"""One tenant's log. Every query on documents and chunks is here, and each is scoped by tenant."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, func, insert, select

from model.errors import FingerprintMismatchError, StorageError
from pipeline.chunk import Span
from pipeline.database import Database
from pipeline.document import ParsedDocument
from pipeline.schema import chunks, documents, tenants


@dataclass(frozen=True)
class Tenant:
    """The unit of isolation. Its seed and fingerprint are for life."""

    id: str
    name: str
    seed: int
    fingerprint: str

    def check_fingerprint(self, fingerprint: str) -> None:
        """Refuse a checkpoint that did not make this tenant's memory."""
        if fingerprint != self.fingerprint:
            raise FingerprintMismatchError(
                f"tenant {self.name!r} belongs to the checkpoint {self.fingerprint[:16]}…, the one "
                f"loaded is {fingerprint[:16]}…; give the first one with --checkpoint, or use "
                "another tenant"
            )


@dataclass(frozen=True)
class Accepted:
    """A document that is durable in the log, now or since earlier."""

    document: str
    first_step: int
    chunks: int
    new: bool


@dataclass(frozen=True)
class Chunk:
    """One step's text."""

    step: int
    text: str


@dataclass(frozen=True)
class Passage:
    """Where a step's text stands: the document, its section and the exact characters."""

    step: int
    document: str
    title: str
    source: str
    section: str | None
    text: str
    start: int
    end: int

    @property
    def where(self) -> str:
        """As a person would name it."""
        return f"{self.title}, {self.section}" if self.section else self.title


class TenantLog:
    """The ordered, durable documents of one tenant."""

    def __init__(self, database: Database, tenant: Tenant, clock: Callable[[], float]) -> None:
        self.tenant = tenant
        self._database = database
        self._clock = clock

    def append(self, document: ParsedDocument, source: str, spans: Sequence[Span]) -> Accepted:
        """Make a document and the steps of its chunks durable, in one transaction.

        The same content from the same source is the same document: it is found, not added.
        """
        sha256 = hashlib.sha256(document.text.encode()).hexdigest()
        same = (documents.c.source == source) & (documents.c.sha256 == sha256)
        with self._database.writing() as connection:
            # Steps are given in order, so acceptances of one tenant take turns.
            lock = select(tenants.c.id).where(tenants.c.id == self.tenant.id).with_for_update()
            connection.execute(lock).one()
            found = connection.execute(select(documents).where(self._mine, same)).one_or_none()
            if found:
                return Accepted(found.id, found.first_step, found.chunk_count, new=False)
            last = select(func.max(chunks.c.step)).where(chunks.c.tenant == self.tenant.id)
            newest = connection.execute(last).scalar_one()
            first_step = 0 if newest is None else newest + 1
            values = {
                "id": uuid.uuid4().hex,
                "tenant": self.tenant.id,
                "source": source,
                "title": document.title,
                "sha256": sha256,
                "text": document.text,
                "metadata": {
                    **document.metadata,
                    "sections": [asdict(section) for section in document.sections],
                },
                "first_step": first_step,
                "chunk_count": len(spans),
                "created": self._clock(),
            }
            connection.execute(insert(documents).values(values))
            rows = [
                {"tenant": self.tenant.id, "step": step, "document": values["id"], **asdict(span)}
                for step, span in enumerate(spans, first_step)
            ]
            connection.execute(insert(chunks), rows)
        return Accepted(str(values["id"]), first_step, len(spans), new=True)

    def length(self) -> int:
        """Steps in the log."""
        query = select(func.count()).where(chunks.c.tenant == self.tenant.id)
        with self._database.reading() as connection:
            return connection.execute(query).scalar_one()

    def tokens(self, from_step: int = 0) -> int:
        """Tokens in the steps from `from_step` on."""
        query = select(func.coalesce(func.sum(chunks.c.tokens), 0)).where(
            chunks.c.tenant == self.tenant.id, chunks.c.step >= from_step
        )
        with self._database.reading() as connection:
            return int(connection.execute(query).scalar_one())

    def chunks(self, from_step: int) -> Iterator[Chunk]:
        """The steps from `from_step` to the end of the log as it is when the end is reached."""
        step = from_step
        while document := self._document_at(step):
            for span in self._spans(document.id, step):
                yield Chunk(span.step, document.text[span.start : span.end])
                step = span.step + 1

    def passage(self, step: int) -> Passage:
        """The text that was memorized at `step`."""
        mine = (chunks.c.tenant == self.tenant.id) & (chunks.c.step == step)
        with self._database.reading() as connection:
            span = connection.execute(select(chunks).where(mine)).one_or_none()
        document = self._document_at(step)
        if span is None or document is None:
            raise StorageError(
                f"tenant {self.tenant.name!r}: the memory names step {step}, which is not in the "
                "log; the memory folder and the ledger are of different origin"
            )
        return Passage(
            step=step,
            document=document.id,
            title=document.title,
            source=document.source,
            section=_section_at(document.metadata.get("sections", []), span.start),
            text=document.text[span.start : span.end],
            start=span.start,
            end=span.end,
        )

    @property
    def _mine(self) -> ColumnElement[bool]:
        return documents.c.tenant == self.tenant.id

    def _document_at(self, step: int) -> Row[Any] | None:
        query = (
            select(documents)
            .where(self._mine, documents.c.first_step <= step)
            .order_by(documents.c.first_step.desc())
            .limit(1)
        )
        with self._database.reading() as connection:
            row = connection.execute(query).one_or_none()
        return row if row and step < row.first_step + row.chunk_count else None

    def _spans(self, document: str, from_step: int) -> Sequence[Row[Any]]:
        query = (
            select(chunks)
            .where(chunks.c.tenant == self.tenant.id, chunks.c.document == document)
            .where(chunks.c.step >= from_step)
            .order_by(chunks.c.step)
        )
        with self._database.reading() as connection:
            return connection.execute(query).all()


def _section_at(sections: Sequence[dict[str, Any]], start: int) -> str | None:
    """The last heading at or before `start`."""
    before = [section["title"] for section in sections if section["start"] <= start]
    return before[-1] if before else None
