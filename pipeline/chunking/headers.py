"""What is said of a chunk before its text: the title of its document and the section it stands in.

A chunk from the middle of a document may not name what it is about. How many tokens of a chunk
this may take is a property of the checkpoint (`header_tokens` in its `config.json`, 0 where it was
not trained on it), as is the length of a chunk. The log keeps title, sections and text apart, and
a header follows from them; a chunk's offsets are of its text alone, and so is what a citation
shows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mplus_ray.pipeline.chunking.tokenizer import Tokenizer
from mplus_ray.pipeline.parsing.document import ParsedDocument


@dataclass(frozen=True)
class Headings:
    """A document's title and sections, as its metadata has these: title, level and start.

    Attributes:
        title: of the document; empty without one.
        sections: each with `title`, `level` and `start`, in the order of the text.
    """

    title: str
    sections: Sequence[Mapping[str, Any]] = ()

    @classmethod
    def of(cls, document: ParsedDocument) -> Headings:
        return cls(document.title, [asdict(section) for section in document.sections])

    def at(self, text: str, start: int) -> tuple[str, ...]:
        """What a chunk that begins at `start` stands under, without what it says itself."""
        under = (self.title, section_at(self.sections, start) or "")
        return tuple(
            dict.fromkeys(name for name in under if name and not text.startswith(name, start))
        )

    def longest(self, tokenizer: Tokenizer) -> int:
        """Tokens of the longest header that a chunk of the document can have."""
        most = tokenizer.header_tokens
        if most == 0:
            return 0
        names = {str(section["title"]) for section in self.sections}
        section = max((len(_line(tokenizer, name)) for name in names), default=0)
        return min(most, section + len(_line(tokenizer, self.title)))


def section_at(sections: Sequence[Mapping[str, Any]], start: int) -> str | None:
    """The last heading at or before `start`."""
    before = [section["title"] for section in sections if section["start"] <= start]
    return before[-1] if before else None


def with_header(tokenizer: Tokenizer, heading: Sequence[str], text: str) -> list[int]:
    """A chunk's tokens as they are memorized.

    The header takes only room that the text leaves, so a chunk that was cut for another checkpoint
    is not too long with this one.
    """
    ids = tokenizer.encode(text)
    if tokenizer.header_tokens == 0:
        return ids
    room = min(tokenizer.header_tokens, tokenizer.chunk_tokens - len(ids))
    header: list[int] = []
    for place, name in enumerate(heading):
        share = (room - len(header)) // (len(heading) - place)
        line = _line(tokenizer, name)
        if share > 1:
            header += line if len(line) <= share else [*line[: share - 1], line[-1]]
    return header + ids


def _line(tokenizer: Tokenizer, name: str) -> list[int]:
    return tokenizer.encode(f"{name}\n") if name else []
