"""Why documents are left out, in words that many of them share, and how many of which kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import PurePosixPath

from mplus_ray.model.errors import AttributeQuotaError, DocumentError, QuotaError, RateLimitedError

_ROWS = frozenset([".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet"])
_LONGEST_SUFFIX = 12  # characters; more is part of a name
_SHOWN = 12  # kinds and reasons in one line


class Refusal(StrEnum):
    """Reasons as `DocumentError.reason` has them."""

    UNSUPPORTED = "unsupported format"
    MISNAMED = "not what its name says"
    ENCRYPTED = "encrypted"
    DAMAGED = "damaged"
    MALFORMED = "not as its format asks"
    SCAN = "scan without a text layer; pass --ocr"
    GLYPHS = "fonts do not say which characters they show; pass --ocr"
    EMPTY = "no text"
    NOT_TEXT = "not text"
    ENCODING = "unknown encoding"
    TOO_LARGE = "too large"
    TOO_COSTLY = "takes too much time or memory"
    IDENTITY = "impossible id"
    UNREADABLE = "cannot be opened"
    LIMIT = "limit reached"
    GONE = "cannot be read again"
    LINK = "link that leads out of the folder, or nowhere"
    SPECIAL = "no regular file"
    HIDDEN = "its name begins with a dot"
    UNSEEN = "hidden"
    NO_VALUE = "formula without a stored value; save it from a spreadsheet program"


@dataclass(frozen=True)
class RefusalCount:
    """How many of one kind were left out for one reason.

    Attributes:
        kind: a suffix such as `.psd`, `.csv row`, `line`, or another word for what it was.
        reason: why, in a few words.
        count: how many.
    """

    kind: str
    reason: str
    count: int


@dataclass
class Refusals:
    """What was left out, counted by kind and reason.

    Attributes:
        counts: by (kind, reason).
    """

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, kind: str, reason: str, count: int = 1) -> None:
        """So many more."""
        self.counts[kind, reason] += count

    def note(self, kind: str, error: Exception) -> None:
        """One more, for the reason of its error."""
        if isinstance(error, RateLimitedError | QuotaError | AttributeQuotaError):
            self.add(kind, Refusal.LIMIT)
        else:
            self.add(kind, error.reason if isinstance(error, DocumentError) else Refusal.IDENTITY)

    def include(self, counts: Iterable[RefusalCount]) -> None:
        """What somebody else counted."""
        for one in counts:
            self.add(one.kind, one.reason, one.count)

    @property
    def total(self) -> int:
        return self.counts.total()

    def listed(self) -> list[RefusalCount]:
        """The most frequent first."""
        ordered = sorted(self.counts.items(), key=lambda each: (-each[1], each[0]))
        return [RefusalCount(kind, reason, count) for (kind, reason), count in ordered]

    def text(self) -> str:
        """`3 left out: 2 .psd (unsupported format), 1 .pdf (encrypted)`; empty if none was."""
        if not self.counts:
            return ""
        listed = self.listed()
        parts = [f"{one.count:,} {_plural(one)} ({one.reason})" for one in listed[:_SHOWN]]
        if rest := sum(one.count for one in listed[_SHOWN:]):
            parts.append(f"{rest:,} of other kinds or for other reasons")
        return f"{self.total:,} left out: {', '.join(parts)}"


def kind_of_name(name: str) -> str:
    """What kind a document is by its id or its source: `.psd`, or `.csv row` of `faq.csv#17`."""
    file, mark, place = name.rpartition("#")
    while mark:
        suffix = _suffix(file)
        if suffix in _ROWS:
            return f"{suffix} row"
        if suffix == ".mbox":
            return "message"
        if suffix == ".zip":
            return _suffix(place) or "member of a .zip"
        file, mark, rest = file.rpartition("#")
        place = f"{rest}#{place}"
    return _suffix(name) or "file"


def _plural(one: RefusalCount) -> str:
    """`2 lines`, but `2 .psd`."""
    word = one.kind.rpartition(" ")[2]
    return one.kind if one.count == 1 or word.startswith(".") else f"{one.kind}s"


def _suffix(name: str) -> str:
    suffix = PurePosixPath(name).suffix.lower()
    return suffix if len(suffix) <= _LONGEST_SUFFIX and suffix[1:].isalnum() else ""
