"""Files to the log: parsed, chunked and durable, one document at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from model.errors import DocumentError, QuotaError
from pipeline.chunk import Tokenizer, chunk
from pipeline.parse import parse_file
from pipeline.tenant_log import Accepted, TenantLog


@dataclass(frozen=True)
class Failure:
    """A document that was left out, and why."""

    source: str
    reason: str


@dataclass
class Intake:
    """What became of the files.

    Attributes:
        full: the quota that ended it; later files were not looked at.
    """

    accepted: list[Accepted] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)
    full: QuotaError | None = None


@dataclass(frozen=True)
class Desk:
    """Where documents are handed in: whose log, and how its model cuts them."""

    log: TenantLog
    tokenizer: Tokenizer
    chunk_tokens: int


def take_in(
    files: Iterable[Path],
    open_desk: Callable[[], Desk],
    on_document: Callable[[Path], None] = lambda path: None,
    *,
    log: TenantLog | None = None,
    key: str | None = None,
) -> Intake:
    """Accept every file that can be parsed; one that cannot leaves the others alone.

    What failed is noted in the log, and what succeeds after all is struck off.

    Args:
        open_desk: called when the first document is ready, so that files of which none can be
            read load no model and leave no tenant behind.
        log: of the tenant, if it exists already.
        key: the id of the document; for a single file.
    """
    intake = Intake()
    desk: Desk | None = None
    for path in files:
        try:
            document = parse_file(path)
        except DocumentError as error:
            intake.failed.append(Failure(str(path), str(error)))
        else:
            desk = desk or open_desk()
            spans = list(chunk(document.text, desk.tokenizer, desk.chunk_tokens))
            try:
                intake.accepted.append(desk.log.append(document, str(path), spans, key))
            except QuotaError as error:
                intake.full = error
                break
            desk.log.clear_failure(str(path))
        on_document(path)
    known = desk.log if desk else log
    if known is not None:
        for failure in intake.failed:
            known.add_failure(failure.source, failure.reason)
    return intake
