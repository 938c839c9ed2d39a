"""What a source gives and a parser makes of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mplus_ray.pipeline.parsing.refusals import RefusalCount


@dataclass(frozen=True)
class Section:
    """A heading of a document and where its text begins.

    Attributes:
        title: the heading's text.
        level: 1 for the highest.
        start: the character at which the heading begins.
    """

    title: str
    level: int
    start: int


@dataclass(frozen=True)
class Details:
    """What its owner says of a document beside its metadata; see `pipeline.ledger.filters`.

    Attributes:
        session: that it belongs to, such as one conversation.
        tags: by which it can be asked for.
        occurred_at: when what it tells of happened (seconds since the epoch); None: when it was
            taken in.
        expires_at: when it is to be forgotten (seconds since the epoch); None: as its tenant says.
    """

    session: str | None = None
    tags: tuple[str, ...] = ()
    occurred_at: float | None = None
    expires_at: float | None = None


@dataclass(frozen=True)
class ParsedDocument:
    """Plain text with what is known about it. Character offsets count in `text`.

    Attributes:
        title: the file's own, or its name.
        text: all of it.
        sections: in the order of the text.
        metadata: the format, and what else the file says of itself; JSON.
        left_out: what of the file is not in the text, by kind and reason: pages, attachments.
        details: what its owner says of it.
    """

    title: str
    text: str
    sections: tuple[Section, ...] = ()
    metadata: dict[str, Any] = field(default_factory=dict)
    left_out: tuple[RefusalCount, ...] = ()
    details: Details = Details()
