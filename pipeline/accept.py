"""A document becomes part of the log: found, appended, or put in the place of an older version."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, Row, func

from model.errors import InvalidInputError, QuotaError
from pipeline.chunk import Span
from pipeline.document import ParsedDocument
from pipeline.forgets import mark_forgotten
from pipeline.likeness import Alike, Sketch, find_alike, remember
from pipeline.schema import chunks, documents
from pipeline.scope import Scope

MAX_KEY = 1000  # bytes; what an index of either database takes


@dataclass(frozen=True)
class Accepted:
    """A document that is durable in the log, now or since earlier.

    Attributes:
        document: its internal id.
        key: the id that the user knows.
        first_step, chunks: its steps in the log.
        new: whether it was appended now.
        replaced: id of the forget request of the older version it takes the place of.
        alike: another document that says the same, or nearly; of a new document.
    """

    document: str
    key: str
    first_step: int
    chunks: int
    new: bool
    replaced: str | None = None
    alike: Alike | None = None


def accept(
    scope: Scope, document: ParsedDocument, source: str, spans: Sequence[Span], key: str | None
) -> Accepted:
    """See `TenantLog.append`."""
    if not spans:
        raise InvalidInputError(f"{source} has no text, so there is nothing to memorize")
    name = short(source) if key is None else _checked(key)
    sha256 = hashlib.sha256(document.text.encode()).hexdigest()
    c = documents.c
    current = scope.select(documents, c.id, c.key, c.sha256, c.first_step, c.chunk_count).where(
        c.key == name, c.forget.is_(None)
    )
    with scope.reading() as connection:
        if found := _found(connection.execute(current).one_or_none(), sha256):
            return found  # the usual case of a repeated ingest, without waiting for writers
        sketch = Sketch.of(document.text)
        alike = find_alike(connection, scope, name, sha256, sketch)
    with scope.writing() as connection:
        old = connection.execute(current).one_or_none()
        if found := _found(old, sha256):
            return found
        _check_quotas(connection, scope, old, len(spans))
        replaced = mark_forgotten(connection, scope, old.id, name).receipt.id if old else None
        first_step = next_step(connection, scope)
        values = _values(document, storable(source), name, sha256, spans)
        now = scope.clock()
        scope.insert(connection, documents, [{**values, "first_step": first_step, "created": now}])
        rows = [
            {"step": step, "document": values["id"], **asdict(span)}
            for step, span in enumerate(spans, first_step)
        ]
        scope.insert(connection, chunks, rows)
        remember(connection, scope, values["id"], sketch)
        scope.set(connection, used=now)
    return Accepted(
        values["id"], name, first_step, len(spans), new=True, replaced=replaced, alike=alike
    )


def next_step(connection: Connection, scope: Scope) -> int:
    """One past the last step of the log."""
    last = connection.execute(scope.select(chunks, func.max(chunks.c.step))).scalar_one()
    return 0 if last is None else int(last) + 1


def storable(text: str) -> str:
    """Without what no database takes: lone surrogates, as in file names, and NUL."""
    return text.encode("utf-8", "replace").decode("utf-8").replace("\0", "\ufffd")


def short(name: str) -> str:
    """A name as an index can hold it; a very long one ends in its hash instead."""
    clean = storable(name)
    raw = clean.encode()
    if len(raw) <= MAX_KEY:
        return clean
    kept = raw[: MAX_KEY - 100].decode("utf-8", "ignore")
    return f"{kept}…{hashlib.sha256(raw).hexdigest()}"


def _checked(key: str) -> str:
    if not key.strip() or not key.isprintable() or len(key.encode()) > MAX_KEY:
        raise InvalidInputError(
            f"{key[:80]!r} cannot be a document's id; use 1 to {MAX_KEY} bytes of printable text"
        )
    return key


def _found(row: Row[Any] | None, sha256: str) -> Accepted | None:
    if row is None or row.sha256 != sha256:
        return None
    return Accepted(row.id, row.key, row.first_step, row.chunk_count, new=False)


def _values(
    document: ParsedDocument, source: str, key: str, sha256: str, spans: Sequence[Span]
) -> dict[str, Any]:
    sections = [asdict(section) for section in document.sections]
    return {
        "id": uuid.uuid4().hex,
        "key": key,
        "source": source,
        "title": storable(document.title),
        "sha256": sha256,
        "text": document.text,
        "metadata": {**document.metadata, "sections": sections},
        "chunk_count": len(spans),
        "tokens": sum(span.tokens for span in spans),
    }


def _check_quotas(
    connection: Connection, scope: Scope, replaced: Row[Any] | None, new_steps: int
) -> None:
    """Documents that are being forgotten do not count: they are on their way out."""
    limits = scope.lock(connection)
    if limits.max_documents is None and limits.max_bytes is None:
        return
    count, steps = connection.execute(
        scope.select(
            documents, func.count(), func.coalesce(func.sum(documents.c.chunk_count), 0)
        ).where(documents.c.forget.is_(None))
    ).one()
    if replaced is not None:
        count, steps = count - 1, steps - replaced.chunk_count
    nbytes = int(steps + new_steps) * limits.bytes_per_step
    for limit, value, unit, option in (
        (limits.max_documents, count + 1, "documents", "--max-documents"),
        (limits.max_bytes, nbytes, "bytes of memory", "--max-bytes"),
    ):
        if limit is not None and value > limit:
            raise QuotaError(
                f"tenant {limits.name!r} may have {limit} {unit}, with this document it would have "
                f"{value}; forget others first, or raise the limit with "
                f"`mplus tenants set {limits.name} {option} {value}`"
            )
