"""Documents to the log: parsed, chunked and durable, one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from model.errors import DocumentError, InvalidInputError, QuotaError
from pipeline.accept import short
from pipeline.chunk import Tokenizer, chunk
from pipeline.document import ParsedDocument
from pipeline.sources import Finished, Idle, Incoming, Item
from pipeline.tenant_log import Accepted, TenantLog

_SHOWN = 1000  # failures and duplicates that are kept in memory; the log has all of them


@dataclass(frozen=True)
class Failure:
    """A document that was left out, and why."""

    source: str
    reason: str


@dataclass(frozen=True)
class Duplicate:
    """A document that was taken in although the tenant has one like it.

    Attributes:
        document, like: ids that the user knows.
        similarity: 1.0 for the same text; see `pipeline.likeness`.
    """

    document: str
    like: str
    similarity: float


@dataclass
class Intake:
    """What became of the documents.

    Attributes:
        new, known: how many were added, and how many were there already.
        failures: how many were left out.
        failed, duplicates: the first of them, in order.
        full: the quota that ended it; later documents were not looked at.
    """

    new: int = 0
    known: int = 0
    failures: int = 0
    failed: list[Failure] = field(default_factory=list)
    duplicates: list[Duplicate] = field(default_factory=list)
    full: QuotaError | None = None

    @property
    def documents(self) -> int:
        """All that were looked at."""
        return self.new + self.known + self.failures

    def add(self, accepted: Accepted) -> None:
        """Count a document that is durable."""
        if not accepted.new:
            self.known += 1
            return
        self.new += 1
        if (alike := accepted.alike) and len(self.duplicates) < _SHOWN:
            self.duplicates.append(Duplicate(accepted.key, alike.key, alike.similarity))


@dataclass(frozen=True)
class Desk:
    """Where documents are handed in: whose log, and how its model cuts them."""

    log: TenantLog
    tokenizer: Tokenizer
    chunk_tokens: int

    def accept(self, document: ParsedDocument, incoming: Incoming) -> Accepted:
        """Cut a document and make it durable."""
        spans = list(chunk(document.text, self.tokenizer, self.chunk_tokens))
        return self.log.append(document, incoming.source, spans, incoming.key)


def take_in(
    items: Iterable[Item],
    open_desk: Callable[[], Desk],
    on_document: Callable[[Intake, str], None] = lambda intake, source: None,
    on_idle: Callable[[Intake], None] = lambda intake: None,
    *,
    log: TenantLog | None = None,
) -> Intake:
    """Accept every document that can be parsed; one that cannot leaves the others alone.

    One is in memory at a time. Its source is told when the ledger has it: what failed is noted
    there, and what succeeds after all is struck off.

    Args:
        open_desk: called when the first document is ready, so that sources of which none can be
            read load no model and leave no tenant behind.
        on_document: called after each with its source, when it is durable.
        on_idle: called when nothing waits at the moment.
        log: of the tenant, if it exists already.
    """
    counter = _Counter(open_desk, log)
    for item in items:
        if isinstance(item, Idle):
            on_idle(counter.intake)
        elif isinstance(item, Finished):
            counter.strike_off(item.source)
        elif not counter.take(item):
            break
        else:
            on_document(counter.intake, item.source)
    return counter.intake


class _Counter:
    """Takes documents one by one, and knows what of it the log does not know yet."""

    def __init__(self, open_desk: Callable[[], Desk], log: TenantLog | None) -> None:
        self.intake = Intake()
        self._open_desk = open_desk
        self._desk: Desk | None = None
        self._log = log
        self._noted = _noted(log)
        self._unnoted: list[tuple[Failure, Incoming]] = []  # while there is no tenant

    def take(self, incoming: Incoming) -> bool:
        """Whether there was room for it."""
        try:
            document = incoming.load()
        except DocumentError as error:
            self._fail(incoming, error)
            return True
        desk = self._opened()
        try:
            self.intake.add(desk.accept(document, incoming))
        except QuotaError as error:
            self.intake.full = error
            return False
        except InvalidInputError as error:  # an id that cannot be one
            self._fail(incoming, error)
            return True
        self.strike_off(incoming.source)
        incoming.done()
        return True

    def strike_off(self, source: str) -> None:
        """It was read after all."""
        if self._log is not None and short(source) in self._noted:
            self._log.clear_failure(source)
            self._noted.discard(short(source))

    def _fail(self, incoming: Incoming, error: InvalidInputError) -> None:
        failure = Failure(incoming.source, str(error))
        self.intake.failures += 1
        if len(self.intake.failed) < _SHOWN:
            self.intake.failed.append(failure)
        self._unnoted.append((failure, incoming))
        if self._log is None and len(self._unnoted) >= _SHOWN:
            self._opened()  # so many are worth a tenant
        self._note()

    def _opened(self) -> Desk:
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
            self._log.add_failure(failure.source, failure.reason)
            self._noted.add(short(failure.source))
            incoming.done()
        self._unnoted.clear()


def _noted(log: TenantLog | None) -> set[str]:
    """Names of the sources that could not be read earlier."""
    return set() if log is None else {failure.source for failure in log.failures()}
