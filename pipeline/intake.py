"""Files to the log: parsed, chunked and durable, one document at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from model.errors import DocumentError
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
    """What became of the files."""

    accepted: list[Accepted] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)


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
) -> Intake:
    """Accept every file that can be parsed; one that cannot leaves the others alone.

    Args:
        open_desk: called when the first document is ready, so that files of which none can be
            read load no model and leave no tenant behind.
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
            intake.accepted.append(desk.log.append(document, str(path), spans))
        on_document(path)
    return intake
