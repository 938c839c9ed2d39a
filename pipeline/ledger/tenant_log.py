"""One tenant's log of documents, and what hangs on it: heads, forgetting, snapshots."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Unpack

from sqlalchemy import func

from mplus_ray.model.memory.step_order import StepOrder
from mplus_ray.model.memory.step_ranges import StepRanges
from mplus_ray.pipeline.chunking.chunker import Span
from mplus_ray.pipeline.ledger.database import Database
from mplus_ray.pipeline.ledger.documents.append import (
    Accepted,
    Entry,
    Outcome,
    accept,
    find_known,
    next_step,
)
from mplus_ray.pipeline.ledger.documents.changes import change_document
from mplus_ray.pipeline.ledger.documents.chunks import Chunk, read_chunks
from mplus_ray.pipeline.ledger.documents.documents import (
    ChunkPassage,
    Document,
    DocumentState,
    find_document,
    find_passages,
    list_documents,
    unknown_document,
)
from mplus_ray.pipeline.ledger.documents.failures import Failures
from mplus_ray.pipeline.ledger.documents.forget_requests import Forgets
from mplus_ray.pipeline.ledger.documents.idempotency import Answered
from mplus_ray.pipeline.ledger.documents.jobs import Jobs
from mplus_ray.pipeline.ledger.documents.pages import DocumentPage, read_page, read_passages
from mplus_ray.pipeline.ledger.documents.sources import sources_below, sources_of
from mplus_ray.pipeline.ledger.filters.filter import Filter
from mplus_ray.pipeline.ledger.filters.matching import steps_of
from mplus_ray.pipeline.ledger.filters.times import read_order
from mplus_ray.pipeline.ledger.filters.usage import Usage, read_usage
from mplus_ray.pipeline.ledger.heads.renumbering import step_map
from mplus_ray.pipeline.ledger.heads.snapshots import Snapshots
from mplus_ray.pipeline.ledger.heads.tenant_heads import TenantHeads
from mplus_ray.pipeline.ledger.schema import chunks, documents, heads
from mplus_ray.pipeline.ledger.tenant import Tenant, TenantLimits, check_limits
from mplus_ray.pipeline.ledger.tenant_scope import TenantScope
from mplus_ray.pipeline.ledger.webhooks.webhooks import Webhooks
from mplus_ray.pipeline.parsing.document import ParsedDocument

__all__ = [
    "Accepted",
    "ChunkPassage",
    "Document",
    "Entry",
    "Outcome",
    "Tenant",
    "TenantLog",
]


class TenantLog:
    """The ordered, durable documents of one tenant.

    Attributes:
        tenant: as it was when this was made.
        heads: what is memorized of it.
        forgets: requests to forget documents.
        snapshots: names for moments of its memory.
        failures: sources that could not be read.
        jobs: what was accepted and goes on in the background.
        webhooks: that are told what happens.
        answered: requests that are done once, however often they are sent.
    """

    def __init__(self, database: Database, tenant: Tenant, clock: Callable[[], float]) -> None:
        self.tenant = tenant
        self.scope = TenantScope(database, tenant.id, clock)
        self.heads = TenantHeads(self.scope)
        self.forgets = Forgets(self.scope)
        self.snapshots = Snapshots(self.scope)
        self.failures = Failures(self.scope)
        self.jobs = Jobs(self.scope)
        self.webhooks = Webhooks(self.scope)
        self.answered = Answered(self.scope)

    def append(
        self,
        document: ParsedDocument,
        source: str,
        spans: Sequence[Span],
        key: str | None = None,
    ) -> Accepted:
        """Make a document and the steps of its chunks durable, in one transaction.

        The same content under the same key is the same document: it is found, not added. Other
        content under it takes its place: the older version is masked from then on, and a forget
        request removes it.

        Args:
            key: the id that the user knows the document by; by default its source.

        Raises:
            InvalidInputError: the key is impossible, or there are no spans.
            QuotaError: the tenant would have more documents or memory than it may.
            AttributeQuotaError: so it is with its session, a tag or a field of its metadata.
        """
        (outcome,) = self.append_many([Entry(document, source, spans, key)])
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def append_many(self, entries: Sequence[Entry]) -> list[Outcome]:
        """Append documents one after the other, all in one transaction.

        Returns what became of each, or the error that `append` would raise; such a document
        leaves the others alone. A full tenant ends it: what comes after the first QuotaError is
        not looked at, and that error is the last outcome.
        """
        self.forgets.expire()  # of what is over nothing can be said anew
        return accept(self.scope, entries)

    def change(self, key: str, changes: Mapping[str, Any]) -> Document:
        """Change what is said of a document; its text and its memory stay.

        Args:
            changes: of `metadata` (a field of it that is None is taken away), `session`, `tags`,
                `occurred_at` and `expires_at` (seconds since the epoch). What is not named stays,
                None clears.

        Raises:
            DocumentNotFoundError: the tenant has none of that id, or it is being forgotten.
            InvalidInputError: a value is impossible.
            QuotaError: there is no room for so much metadata.
            AttributeQuotaError: its session, a tag or a field of its metadata is full.
        """
        self.forgets.expire()
        change_document(self.scope, key, changes)
        return self.document(key)

    def usage(self, wanted: Filter | None = None) -> tuple[Usage, int]:
        """What documents take up, and their tokens; without those that are being forgotten.

        Args:
            wanted: only those that it leaves.
        """
        self.forgets.expire()
        with self.scope.reading() as connection:
            return read_usage(connection, self.scope, wanted)

    def find_known(
        self, named: Sequence[tuple[str, ParsedDocument]]
    ) -> list[tuple[Accepted, int] | None]:
        """Which of these documents, by their keys, the log has already, and has nothing new to say
        of; each with its tokens, in their order."""
        self.forgets.expire()
        return find_known(self.scope, named)

    def sources_below(self, folder: str) -> list[tuple[str, str]]:
        """Id and source of every document that came from a file of a folder."""
        return sources_below(self.scope, folder)

    def sources_of(self, file: str) -> list[tuple[str, str]]:
        """Id and source of every document that came from a file, alone or as one of many."""
        return sources_of(self.scope, file)

    def length(self, excluded: Collection[str] = ()) -> int:
        """Steps in the log, without those of the documents with these internal ids."""
        with self.scope.reading() as connection:
            left_out = step_map(connection, self.scope, excluded)
            return left_out.to_head(next_step(connection, self.scope))

    def waiting(self) -> int:
        """Steps that the memory which answers lacks."""
        head = self.scope.select(heads, heads.c.step).where(heads.c.serving).scalar_subquery()
        query = self.scope.select(chunks, func.max(chunks.c.step), head)
        with self.scope.reading() as connection:
            last, step = connection.execute(query).one()
        return 0 if last is None else max(last + 1 - (step or 0), 0)

    def tokens(self, from_step: int = 0) -> int:
        """Tokens in the steps from `from_step` on."""
        query = self.scope.select(chunks, func.coalesce(func.sum(chunks.c.tokens), 0)).where(
            chunks.c.step >= from_step
        )
        with self.scope.reading() as connection:
            return int(connection.execute(query).scalar_one())

    def chunks(self, from_step: int, excluded: Collection[str] = ()) -> Iterator[Chunk]:
        """The steps from `from_step` to the end of the log as it is when the end is reached.

        Args:
            excluded: internal ids of documents that a building head leaves out; steps are then
                counted as if they had never come. Only who holds the lease may rely on this
                numbering: a swap changes it.
        """
        return read_chunks(self.scope, from_step, excluded)

    def passage(self, step: int) -> ChunkPassage:
        """The text that was memorized at `step` of the serving head; see `passages_at`."""
        return self.passages_at([step])[0]

    def passages_at(self, steps: Sequence[int], head: str | None = None) -> list[ChunkPassage]:
        """The texts that were memorized at `steps` of the serving head, in their order.

        Args:
            head: id of the head that named the steps, to be sure that it still serves.

        Raises:
            StorageError: a step is not in the log, or another head serves now.
        """
        with self.scope.reading() as connection:
            return find_passages(connection, self.scope, steps, head)

    def document(self, key: str) -> Document:
        """What is known of a document.

        Raises:
            DocumentNotFoundError: the tenant has none of that id.
        """
        self.forgets.expire()
        with self.scope.reading() as connection:
            return find_document(connection, self.scope, key)

    def documents(
        self,
        limit: int | None = None,
        after: str | None = None,
        wanted: Filter | None = None,
    ) -> list[Document]:
        """Documents in the log's order, also those that are being forgotten.

        Args:
            after: the internal id of the last document of the page before this one.
            wanted: only those that it leaves.

        Raises:
            InvalidInputError: `after` is gone; begin again.
        """
        self.forgets.expire()
        with self.scope.reading() as connection:
            return list_documents(connection, self.scope, limit, after, wanted)

    def page(
        self,
        limit: int = 50,
        cursor: str | None = None,
        state: DocumentState | None = None,
        q: str | None = None,
        wanted: Filter | None = None,
    ) -> DocumentPage:
        """Documents in the log's order, a page of them.

        Args:
            cursor: the `next_cursor` of the page before; good also when its document is gone.
            state: only those in it.
            q: only those with this in their title or id, in whatever case.
            wanted: only those that it leaves.

        Raises:
            InvalidInputError: the cursor is none.
        """
        self.forgets.expire()
        with self.scope.reading() as connection:
            return read_page(connection, self.scope, limit, cursor, state, q, wanted)

    def passages(
        self, key: str, from_step: int = 0, limit: int | None = None
    ) -> list[ChunkPassage]:
        """A document cut as it is memorized, in order; empty while it is being forgotten.

        Args:
            from_step: leave out those of earlier steps.
            limit: at most so many.

        Raises:
            DocumentNotFoundError: the tenant has none of that id.
        """
        self.forgets.expire()
        with self.scope.reading() as connection:
            return read_passages(connection, self.scope, key, from_step, limit)

    def text(self, key: str) -> str:
        """A document's text.

        Raises:
            DocumentNotFoundError: the tenant has none of that id, or it is being forgotten.
        """
        self.forgets.expire()
        query = self.scope.select(documents, documents.c.text).where(
            documents.c.key == key, documents.c.forget.is_(None)
        )
        with self.scope.reading() as connection:
            text = connection.execute(query).scalar_one_or_none()
        if text is None:
            raise unknown_document(key)
        return str(text)

    def step_at(self, time: float) -> int:
        """How many steps the memory had at `time` (seconds since the epoch)."""
        d = documents.c
        # Up to the first that came later, so that a clock which went backwards changes nothing.
        later = self.scope.select(documents, func.min(d.first_step)).where(
            d.memorized.is_(None) | (d.memorized > time)
        )
        end = self.scope.select(documents, func.max(d.first_step + d.chunk_count))
        with self.scope.reading() as connection:
            step = connection.execute(later).scalar_one()
            step = connection.execute(end).scalar_one() if step is None else step
        return int(step or 0)

    def steps_left(self, wanted: Filter) -> StepRanges:
        """The steps of the documents that a filter leaves, in the serving head's numbering."""
        with self.scope.reading() as connection:
            return steps_of(connection, self.scope, wanted)

    def order(self, moment: float | None = None) -> StepOrder:
        """In which what the steps tell of happened, by their documents' `occurred_at`.

        Args:
            moment: that a question is about (seconds since the epoch); None: now.
        """
        with self.scope.reading() as connection:
            return read_order(connection, self.scope, moment)

    def touch(self) -> None:
        """Note that the tenant is in use, so that it stays warm."""
        with self.scope.writing() as connection:
            self.scope.set(connection, used=self.scope.clock())

    def request_warmup(self) -> None:
        """Note that somebody waits for a memory that was dropped; a writer makes it again."""
        with self.scope.writing() as connection:
            now = self.scope.clock()
            self.scope.set(connection, wanted=now, used=now)

    def cancel_warmup(self) -> None:
        """The memory is about to be dropped, and nobody waits for it."""
        with self.scope.writing() as connection:
            self.scope.set(connection, wanted=None)

    def set_limits(self, **limits: Unpack[TenantLimits]) -> None:
        """Change those that are given; None is no limit. What is there stays.

        Raises:
            InvalidInputError: one is impossible; none was changed.
        """
        check_limits(limits)
        with self.scope.writing() as connection:
            if limits:
                self.scope.set(connection, **limits)

    def set_step_bytes(self, nbytes: int) -> None:
        """What a step's rows take, for the quota in bytes."""
        with self.scope.writing() as connection:
            self.scope.set(connection, bytes_per_step=nbytes)
