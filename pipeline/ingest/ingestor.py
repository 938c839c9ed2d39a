"""Documents to the log: parsed, chunked and durable, small ones together."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from mplus_ray.model.errors import DocumentError, MPlusError, QuotaError
from mplus_ray.pipeline.chunking.chunker import chunk_document
from mplus_ray.pipeline.chunking.headers import Headings
from mplus_ray.pipeline.chunking.tokenizer import Tokenizer
from mplus_ray.pipeline.ledger.tenant_log import Accepted, Entry, Outcome, TenantLog
from mplus_ray.pipeline.parsing.document import ParsedDocument
from mplus_ray.pipeline.parsing.document_id import id_of_name, storable
from mplus_ray.pipeline.parsing.refusals import Refusals, kind_of_name
from mplus_ray.pipeline.sources import Finished, Idle, Incoming, Item, Present, Rows

# Small documents that share a transaction, which waits for the disk.
GROUP_DOCUMENTS, GROUP_CHARACTERS = 64, 64 * 1024
_KEPT_FAILURES = 1000  # failures and duplicates that are kept in memory; the log has all of them


@dataclass(frozen=True)
class Failure:
    """A document that was left out, and why.

    Attributes:
        source: which document it was.
        reason: for the user.
    """

    source: str
    reason: str


@dataclass(frozen=True)
class Duplicate:
    """A document that was taken in although the tenant has one like it.

    Attributes:
        document, like: ids that the user knows.
        similarity: 1.0 for the same text; see `pipeline.ledger.documents.near_duplicates`.
    """

    document: str
    like: str
    similarity: float


@dataclass
class IngestReport:
    """What became of the documents.

    Attributes:
        new, known: how many were added, and how many were there already.
        chunks, tokens: of the new ones.
        failures: how many were left out.
        failed, duplicates: the first of them, in order.
        replaced: how many of the new ones took an older version's place.
        forgotten: documents whose file or row is gone, each with the id of its forget request.
        refusals: what was left out by kind and reason: failures, parts of documents such as pages
            without text, and, at the end, files that were not looked at.
        full: the quota that ended it; later documents were not looked at.
    """

    new: int = 0
    known: int = 0
    chunks: int = 0
    tokens: int = 0
    failures: int = 0
    failed: list[Failure] = field(default_factory=list)
    duplicates: list[Duplicate] = field(default_factory=list)
    replaced: int = 0
    forgotten: list[tuple[str, str]] = field(default_factory=list)
    refusals: Refusals = field(default_factory=Refusals)
    full: QuotaError | None = None

    @property
    def documents(self) -> int:
        """All that were looked at."""
        return self.new + self.known + self.failures

    def add(self, accepted: Accepted, tokens: int) -> None:
        """Count a document that is durable, and its tokens."""
        if not accepted.new:
            self.known += 1
            return
        self.new += 1
        self.replaced += accepted.replaced is not None
        self.chunks += accepted.chunks
        self.tokens += tokens
        if (alike := accepted.alike) and len(self.duplicates) < _KEPT_FAILURES:
            self.duplicates.append(Duplicate(accepted.key, alike.key, alike.similarity))


def entry_of(document: ParsedDocument, source: str, key: str | None, tokenizer: Tokenizer) -> Entry:
    """A document cut into chunks, as the log takes it.

    Args:
        source: where it comes from.
        key: what the user calls it; None for its source.
        tokenizer: of the model that is to memorize it.
    """
    spans = chunk_document(document.text, Headings.of(document), tokenizer)
    return Entry(document, source, spans, key)


@dataclass(frozen=True)
class DocumentChunker:
    """Where documents are handed in: whose log, and how its model cuts them.

    Attributes:
        log: the tenant's.
        tokenizer: of the model that is to memorize.
    """

    log: TenantLog
    tokenizer: Tokenizer

    def entry(self, document: ParsedDocument, incoming: Incoming) -> Entry:
        """A document cut into chunks."""
        return entry_of(document, incoming.source, incoming.key, self.tokenizer)

    def accept(self, document: ParsedDocument, incoming: Incoming) -> Accepted:
        """Cut a document and make it durable."""
        (outcome,) = self.log.append_many([self.entry(document, incoming)])
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


def take_in(
    items: Iterable[Item],
    open_desk: Callable[[], DocumentChunker],
    on_document: Callable[[IngestReport, str], None] = lambda intake, source: None,
    on_idle: Callable[[IngestReport], None] = lambda intake: None,
    *,
    log: TenantLog | None = None,
    intake: IngestReport | None = None,
) -> IngestReport:
    """Accept every document that can be parsed; one that cannot leaves the others alone.

    A large one is in memory by itself, small ones share a transaction. Its source is told when
    the ledger has it: what failed is noted there, and what succeeds after all is struck off.

    Args:
        open_desk: called when the first document is ready, so that sources of which none can be
            read load no model and leave no tenant behind.
        on_document: called after each with its source, when it is durable; nothing more is read
            until it returns.
        on_idle: called when nothing waits at the moment.
        log: of the tenant, if it exists already.
        intake: to be filled, for who looks at it even if this is interrupted.
    """
    counter = _Counter(open_desk, on_document, log, intake or IngestReport())
    try:
        for item in items:
            if isinstance(item, Idle):
                counter.flush()
                on_idle(counter.intake)
            elif isinstance(item, Finished):
                counter.finish(item.source)
            elif isinstance(item, Present):
                counter.forget_others(item)
            elif isinstance(item, Rows):
                counter.forget_other_rows(item)
            else:
                counter.take(item)
            if counter.intake.full is not None:
                return counter.intake
    except MPlusError:
        counter.flush()  # a source that breaks off takes nothing back
        raise
    counter.flush()
    return counter.intake


@dataclass(frozen=True)
class _Ready:
    """A document that is parsed and cut."""

    incoming: Incoming
    entry: Entry

    @property
    def tokens(self) -> int:
        return sum(span.tokens for span in self.entry.spans)


class _Counter:
    """Takes documents one by one, and knows what of it the log does not know yet."""

    def __init__(
        self,
        open_desk: Callable[[], DocumentChunker],
        on_document: Callable[[IngestReport, str], None],
        log: TenantLog | None,
        intake: IngestReport,
    ) -> None:
        self.intake = intake
        self._open_desk = open_desk
        self._on_document = on_document
        self._desk: DocumentChunker | None = None
        self._log = log
        self._noted = _noted(log)
        self._unnoted: list[tuple[Failure, Incoming]] = []  # while there is no tenant
        self._group: list[_Ready] = []

    def take(self, incoming: Incoming) -> None:
        """Parse a document; it is durable at the next `flush`, which may be at once."""
        try:
            document = incoming.load()
        except DocumentError as error:
            self.flush()  # what came before is told of before
            if self.intake.full is None:
                self._fail(incoming, error)
                self._on_document(self.intake, incoming.source)
            return
        characters = sum(len(ready.entry.document.text) for ready in self._group)
        large = characters + len(document.text) > GROUP_CHARACTERS
        if large:
            self.flush()
        if self.intake.full is not None:
            return
        self._group.append(_Ready(incoming, self._opened().entry(document, incoming)))
        if large or incoming.prompt or len(self._group) >= GROUP_DOCUMENTS:
            self.flush()

    def finish(self, source: str) -> None:
        """A file of many documents was read to its end."""
        self.flush()
        self.strike_off(source)

    def forget_others(self, present: Present) -> None:
        """Have forgotten what came from files of a folder that are no longer there."""
        self.flush()
        if self._log is None:
            return
        kept = {storable(file) for file in present.files}
        for key, source in self._log.sources_below(storable(present.folder)):
            file = source if source in kept else source.rpartition("#")[0]
            if file not in kept:
                self._forget(self._log, key)

    def forget_other_rows(self, rows: Rows) -> None:
        """Have forgotten what a file of many had and has no longer; what cannot be read of it
        today may still be there.
        """
        self.flush()
        if self._log is None:
            return
        for key, source in self._log.sources_of(storable(rows.source)):
            if hash(key) not in rows.keys and id_of_name(source) not in self._noted:
                self._forget(self._log, key)

    def _forget(self, log: TenantLog, key: str) -> None:
        receipt = log.forgets.request(key).receipt
        self.intake.forgotten.append((key, receipt.id))

    def flush(self) -> None:
        """Make durable what waits for it, and say so."""
        if not self._group:
            return
        group, self._group = self._group, []
        outcomes = self._opened().log.append_many([ready.entry for ready in group])
        for ready, outcome in zip(group, outcomes, strict=False):
            self._note_outcome(ready, outcome)
        for ready, outcome in zip(group, outcomes, strict=False):
            if not isinstance(outcome, QuotaError):
                self._on_document(self.intake, ready.incoming.source)

    def _note_outcome(self, ready: _Ready, outcome: Outcome) -> None:
        if isinstance(outcome, Accepted):
            self.intake.add(outcome, ready.tokens)
            if outcome.new:
                self.intake.refusals.include(ready.entry.document.left_out)
            self.strike_off(ready.incoming.source)
            ready.incoming.done()
        elif isinstance(outcome, QuotaError):
            self.intake.full = outcome
        else:  # an id that cannot be one, or a session that is full
            self._fail(ready.incoming, outcome)

    def strike_off(self, source: str) -> None:
        """It was read after all."""
        if self._log is not None and id_of_name(source) in self._noted:
            self._log.failures.clear(source)
            self._noted.discard(id_of_name(source))

    def _fail(self, incoming: Incoming, error: MPlusError) -> None:
        failure = Failure(incoming.source, str(error))
        self.intake.failures += 1
        kind = incoming.kind or kind_of_name(incoming.key or incoming.source)
        self.intake.refusals.note(kind, error)
        if len(self.intake.failed) < _KEPT_FAILURES:
            self.intake.failed.append(failure)
        self._unnoted.append((failure, incoming))
        if self._log is None and len(self._unnoted) >= _KEPT_FAILURES:
            self._opened()  # so many are worth a tenant
        self._note()

    def _opened(self) -> DocumentChunker:
        if self._desk is None:
            self._desk = self._open_desk()
            self._log = self._desk.log
            self._noted = _noted(self._log)
            self._note()
        return self._desk

    def _note(self) -> None:
        """Write down what failed, before its source is told that it may forget it."""
        if self._log is None:
            return
        for failure, incoming in self._unnoted:
            self._log.failures.add(failure.source, failure.reason)
            self._noted.add(id_of_name(failure.source))
            incoming.done()
        self._unnoted.clear()


def _noted(log: TenantLog | None) -> set[str]:
    """Names of the sources that could not be read earlier."""
    return set() if log is None else {failure.source for failure in log.failures.list()}
