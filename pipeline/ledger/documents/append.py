"""A document becomes part of the log: found, appended, or put in the place of an older version."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

from sqlalchemy import Connection, func

from mplus_ray.model.errors import AttributeQuotaError, InvalidInputError, QuotaError
from mplus_ray.pipeline.chunking.chunker import Span
from mplus_ray.pipeline.ledger.documents.changes import write_description
from mplus_ray.pipeline.ledger.documents.description import COLUMNS, Description
from mplus_ray.pipeline.ledger.documents.forget_requests import mark_forgotten
from mplus_ray.pipeline.ledger.documents.near_duplicates import (
    NearDuplicate,
    PendingSketch,
    Sketch,
    find_alike,
    remember_all,
)
from mplus_ray.pipeline.ledger.documents.quota import Claim, QuotaLeft
from mplus_ray.pipeline.ledger.documents.versions import Version, versions_of
from mplus_ray.pipeline.ledger.filters.index import rows_of
from mplus_ray.pipeline.ledger.schema import attributes, chunks, documents
from mplus_ray.pipeline.ledger.tenant_scope import TenantScope
from mplus_ray.pipeline.parsing.document import ParsedDocument
from mplus_ray.pipeline.parsing.document_id import id_of_name, storable
from mplus_ray.pipeline.parsing.limits import (
    MAX_SECTIONS,
    check_details,
    check_key,
    check_metadata,
    has_dots,
)


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
        updated: whether it was there, and what is said of it (metadata, tags, times) is new.
    """

    document: str
    key: str
    first_step: int
    chunks: int
    new: bool
    replaced: str | None = None
    alike: NearDuplicate | None = None
    updated: bool = False


@dataclass(frozen=True)
class Entry:
    """A document that is handed in; see `TenantLog.append`.

    Attributes:
        document: its text and what is known of it.
        source: where it comes from.
        spans: its chunks.
        key: what the user calls it; None: its source.
    """

    document: ParsedDocument
    source: str
    spans: Sequence[Span]
    key: str | None = None


Outcome = Accepted | InvalidInputError | QuotaError | AttributeQuotaError


def accept(scope: TenantScope, entries: Sequence[Entry]) -> list[Outcome]:
    """Append documents in one transaction, see `TenantLog.append_many`."""
    drafts = [_draft(entry) for entry in entries]
    good = [draft for draft in drafts if isinstance(draft, _Draft)]
    with scope.reading() as connection:
        current = versions_of(connection, scope, {draft.name for draft in good})
        fresh = [draft for draft in good if draft.found(current) is None]
        # Before anybody has to wait for this one: it takes long for a long text.
        alike = {
            id(first): find_alike(connection, scope, first.name, first.sha256, first.sketch)
            for first in fresh[:1]
        }
    if not fresh:
        # The usual case of a repeated ingest, without waiting for writers.
        return [d.known(current) if isinstance(d, _Draft) else d for d in drafts]
    with scope.writing() as connection:
        left = QuotaLeft.of(connection, scope, (draft.described for draft in good))
        current = versions_of(connection, scope, {draft.name for draft in good})
        group = _Group(connection, scope, current, alike, left)
        outcomes: list[Outcome] = []
        for draft in drafts:
            outcomes.append(group.add(draft) if isinstance(draft, _Draft) else draft)
            if isinstance(outcomes[-1], QuotaError):
                break
        group.close()
    return outcomes


def find_known(
    scope: TenantScope, named: Sequence[tuple[str, ParsedDocument]]
) -> list[tuple[Accepted, int] | None]:
    """Documents that the log has already, see `TenantLog.find_known`."""
    c = documents.c
    keys = {key for key, _ in named}
    query = scope.select(
        documents, c.id, c.key, c.sha256, c.first_step, c.chunk_count, c.tokens, *COLUMNS
    ).where(c.key.in_(keys), c.forget.is_(None))
    with scope.reading() as connection:
        found = {row.key: row for row in connection.execute(query)}
    known: list[tuple[Accepted, int] | None] = []
    for key, document in named:
        row = found.get(key)
        sha256 = hashlib.sha256(document.text.encode()).hexdigest()
        if row is None or row.sha256 != sha256 or Description.of(row).changed_by(document):
            known.append(None)
            continue
        accepted = Accepted(row.id, row.key, row.first_step, row.chunk_count, new=False)
        known.append((accepted, int(row.tokens)))
    return known


@dataclass(frozen=True)
class _Draft:
    """A document whose id is possible and that has something to memorize."""

    entry: Entry
    name: str
    sha256: str
    metadata_bytes: int

    @cached_property
    def sketch(self) -> Sketch:
        return Sketch.of(self.entry.document.text)

    @property
    def described(self) -> Description:
        """What is said of it."""
        return Description(self.entry.document.metadata, self.entry.document.details)

    def found(self, current: Mapping[str, Version]) -> Accepted | None:
        """What the log has of the same content under its key, with nothing else to say of it."""
        at = current.get(self.name)
        if at is None or at.sha256 != self.sha256:
            return None
        if at.description.changed_by(self.entry.document) is not None:
            return None
        return Accepted(at.id, at.key, at.first_step, at.chunk_count, new=False)

    def known(self, current: Mapping[str, Version]) -> Accepted:
        found = self.found(current)
        assert found is not None
        return found


class _Group:
    """Documents that become durable in one transaction, one after the other.

    Their rows are inserted together, before anything looks for them in the ledger.

    Args:
        current: what the log has under their keys.
        alike: by the identity of a draft, what is known already to be like it.
        left: of the tenant's quotas.
    """

    def __init__(
        self,
        connection: Connection,
        scope: TenantScope,
        current: dict[str, Version],
        alike: Mapping[int, NearDuplicate | None],
        left: QuotaLeft,
    ) -> None:
        self._connection = connection
        self._scope = scope
        self._current = current
        self._known = alike
        self._left = left
        self._step = next_step(connection, scope)
        self._used: float | None = None
        self._pending: list[PendingSketch] = []
        self._documents: list[dict[str, Any]] = []
        self._chunks: list[dict[str, Any]] = []
        self._attributes: list[dict[str, Any]] = []

    def add(self, draft: _Draft) -> Outcome:
        """Find it, append it, or put it in the place of an older version."""
        if found := draft.found(self._current):
            return found
        spans, text = draft.entry.spans, draft.entry.document.text
        old = self._current.get(draft.name)
        if old is not None and old.sha256 == draft.sha256:
            return self._update(old, draft)
        if old is not None and (reason := _is_older(old, draft)):
            return InvalidInputError(reason)
        try:
            claim = Claim(len(spans), draft.metadata_bytes, draft.described)
            self._left.take(claim, old.claim if old else None)
        except (QuotaError, AttributeQuotaError) as error:
            return error
        alike = self._alike(draft)
        replaced = self._replace(old)
        self._used = self._scope.clock()
        said = Description.new(draft.entry.document, self._used, self._left.ttl)
        values = {**_values(draft), "first_step": self._step, "created": self._used}
        identity, first = values["id"], self._step
        self._documents.append({**values, **said.columns})
        self._attributes += rows_of(identity, said.metadata, said.details)
        self._chunks += [
            {"step": step, "document": identity, **asdict(span)}
            for step, span in enumerate(spans, first)
        ]
        self._step += len(spans)
        bands = tuple(draft.sketch.bands)
        self._pending.append(PendingSketch(identity, draft.name, draft.sha256, text, bands))
        sizes = first, len(spans), draft.metadata_bytes
        self._current[draft.name] = Version(identity, draft.name, draft.sha256, *sizes, said)
        return Accepted(
            identity, draft.name, first, len(spans), new=True, replaced=replaced, alike=alike
        )

    def _update(self, old: Version, draft: _Draft) -> Outcome:
        """Say something else of a document whose text stays."""
        said = old.description.changed_by(draft.entry.document)
        assert said is not None, "what has nothing new to say was found"
        try:
            size = check_metadata(said.shown)
            self._left.take(Claim(old.chunk_count, size, said), old.claim)
        except (InvalidInputError, QuotaError, AttributeQuotaError) as error:
            return error
        self._flush()  # it may be of this group
        write_description(self._connection, self._scope, old.id, said, size)
        self._used = self._scope.clock()
        self._current[old.key] = replace(old, metadata_bytes=size, description=said)
        place = old.first_step, old.chunk_count
        return Accepted(old.id, old.key, *place, new=False, updated=True)

    def close(self) -> None:
        """Nothing follows."""
        self._flush()
        if self._used is not None:
            self._scope.set(self._connection, used=self._used)

    def _alike(self, draft: _Draft) -> NearDuplicate | None:
        if id(draft) in self._known:
            return self._known[id(draft)]
        return find_alike(
            self._connection, self._scope, draft.name, draft.sha256, draft.sketch, self._pending
        )

    def _replace(self, old: Version | None) -> str | None:
        if old is None:
            return None
        self._flush()  # the older version may be of this group
        return mark_forgotten(self._connection, self._scope, old.id, old.key, "replaced").receipt.id

    def _flush(self) -> None:
        self._scope.insert(self._connection, documents, self._documents)
        self._scope.insert(self._connection, chunks, self._chunks)
        bands = {new.id: new.bands for new in self._pending}
        remember_all(self._connection, self._scope, bands)
        self._scope.insert(self._connection, attributes, self._attributes)
        self._documents, self._chunks, self._pending, self._attributes = [], [], [], []


def next_step(connection: Connection, scope: TenantScope) -> int:
    """One past the last step of the log."""
    last = connection.execute(scope.select(chunks, func.max(chunks.c.step))).scalar_one()
    return 0 if last is None else int(last) + 1


def _name(entry: Entry) -> str:
    if entry.key is not None:
        check_key(entry.key)
        return entry.key
    name = id_of_name(entry.source)
    if has_dots(name):
        raise InvalidInputError(f"{name[:80]!r} cannot be a document's id; give it one")
    return name


def _draft(entry: Entry) -> _Draft | InvalidInputError:
    try:
        if not entry.spans:
            raise InvalidInputError(f"{entry.source} has no text, so there is nothing to memorize")
        if len(entry.document.sections) > MAX_SECTIONS:
            raise InvalidInputError(
                f"{entry.source} has {len(entry.document.sections):,} headings; "
                f"{MAX_SECTIONS:,} are allowed: split it"
            )
        name = _name(entry)
        metadata_bytes = check_metadata(entry.document.metadata)
        check_details(entry.document.details)
    except InvalidInputError as error:
        return error
    sha256 = hashlib.sha256(entry.document.text.encode()).hexdigest()
    return _Draft(entry, name, sha256, metadata_bytes)


def _is_older(old: Version, draft: _Draft) -> str | None:
    """Why a text does not take the place of another: it tells of an earlier time."""
    time, before = (
        one.occurred_at for one in (draft.entry.document.details, old.description.details)
    )
    if time is None or before is None or time >= before:
        return None
    return (
        f"{draft.name[:80]!r} is there with a text of a later time, so this one, of an earlier, "
        "does not take its place; hand it in under another id to have both"
    )


def _values(draft: _Draft) -> dict[str, Any]:
    """Of a new document's row, what depends on it alone."""
    document, spans = draft.entry.document, draft.entry.spans
    return {
        "id": uuid.uuid4().hex,
        "key": draft.name,
        "source": storable(draft.entry.source),
        "title": storable(document.title),
        "sha256": draft.sha256,
        "text": document.text,
        "metadata_bytes": draft.metadata_bytes,
        "chunk_count": len(spans),
        "tokens": sum(span.tokens for span in spans),
    }
