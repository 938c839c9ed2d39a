"""What of one request is taken in so far: counts, the first documents, and what was left out."""

from __future__ import annotations

from dataclasses import dataclass, field

from mplus_ray.model.errors import AttributeQuotaError, MPlusError
from mplus_ray.pipeline.ledger.tenant_log import Accepted
from mplus_ray.pipeline.parsing.document_id import storable
from mplus_ray.pipeline.parsing.refusals import Refusals
from mplus_ray.services.api.schemas.problems import FailedSource, Refused

LISTED = 1000  # documents that are listed in a response, and failures likewise
_SHOWN_CHARACTERS = 1000  # of a failure's source and reason in a response


@dataclass
class IngestResult:
    """What of a request is taken in so far.

    Of a long stream little more is kept than the internal id of each document.

    Attributes:
        listed: the first that were accepted, with their tokens.
        documents: internal ids of the new ones, at most as many as a request may bring, and of
            the first that were known.
        new, known, replaced: how many of them are that.
        min_step: the step after the last of them.
        failed: the first that were refused, with their reasons.
        refusals: all that was left out, parts of documents too, by kind and reason.
        read, refused: how many were looked at, and left out.
        full: what the first met for which there was room, only not in its session, tag or field.
        kept_out: how many met such.
        next_line: of a stream that ended early, the first line that was not looked at.
        error: what ended it early.
    """

    listed: list[tuple[Accepted, int]] = field(default_factory=list)
    documents: list[str] = field(default_factory=list)
    new: int = 0
    known: int = 0
    replaced: int = 0
    min_step: int = 0
    failed: list[FailedSource] = field(default_factory=list)
    refusals: Refusals = field(default_factory=Refusals)
    read: int = 0
    refused: int = 0
    full: AttributeQuotaError | None = None
    kept_out: int = 0
    next_line: int | None = None
    error: MPlusError | None = None

    def end(self, error: MPlusError, line: int | None) -> None:
        """Nothing more of the request is looked at.

        Args:
            line: the first that was not, of a stream.
        """
        self.error = error
        self.next_line = line
        rest = "the rest" if line is None else f"line {line} and what follows"
        self.failed.append(FailedSource(source=rest, reason=_shown(str(error))))

    def accept(self, accepted: Accepted, tokens: int) -> None:
        """Count a document that is durable, and its tokens."""
        if accepted.new or len(self.documents) < LISTED:
            self.documents.append(accepted.document)
        self.new += accepted.new
        self.known += not accepted.new
        self.replaced += accepted.replaced is not None
        self.min_step = max(self.min_step, accepted.first_step + accepted.chunks)
        if len(self.listed) < LISTED:
            self.listed.append((accepted, tokens))

    def refuse(self, source: str, error: Exception, kind: str) -> None:
        """Count what is left out, and keep its reason while there is room."""
        self.refused += 1
        self.refusals.note(kind, error)
        if isinstance(error, AttributeQuotaError):
            self.full = self.full or error
            self.kept_out += 1
        if len(self.failed) < LISTED:
            self.failed.append(FailedSource(source=_shown(source), reason=_shown(str(error))))

    def counted(self) -> list[Refused]:
        """What was left out, by kind and reason."""
        listed = self.refusals.listed()[:LISTED]
        return [Refused(kind=_shown(a.kind), reason=a.reason, count=a.count) for a in listed]


def _shown(text: str) -> str:
    """As a response can hold it: not too long, and without half of a character."""
    clean = storable(text)
    return clean if len(clean) <= _SHOWN_CHARACTERS else f"{clean[:_SHOWN_CHARACTERS]}…"
