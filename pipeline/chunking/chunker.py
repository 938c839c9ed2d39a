"""Documents to spans of text, cut where a reader would pause: the one way from text to chunks.

Spans are ordered and disjoint, and what lies between them is white space only: no character of
content is lost or read twice. Every step works on a window of bounded size, so the time is
linear in the text, whatever its lines look like.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from mplus_ray.pipeline.chunking.headers import Headings
from mplus_ray.pipeline.chunking.tokenizer import Tokenizer

_CHARS_PER_TOKEN = 8  # the widest window; it holds a full chunk of any ordinary text
_CONTENT = re.compile(r"\S")
# Where to cut, best first: each match ends at the cut.
_PARAGRAPH = re.compile(r"(?=\n[^\S\n]*\n)")
_SENTENCE = re.compile(r"[.!?…][\"'”’)\]]*(?=\s)|[。！？]")  # noqa: RUF001
_SPACE = re.compile(r"(?=\s)")


@dataclass(frozen=True)
class Span:
    """One chunk: `text[start:end]` and the number of its tokens.

    Attributes:
        start, end: characters of the document's text.
        tokens: of that text, without a header.
    """

    start: int
    end: int
    tokens: int


def chunk_document(text: str, headings: Headings, tokenizer: Tokenizer) -> list[Span]:
    """The chunks of a document, short enough for the model with the headers they get.

    Every document goes through here, from wherever it comes: a memory's digest depends on where
    its documents were cut.

    Args:
        text: of the document.
        headings: its title and sections, which the headers are made of.
        tokenizer: of the model that is to memorize it.
    """
    return list(_split(text, tokenizer, tokenizer.chunk_tokens - headings.longest(tokenizer)))


def _split(text: str, tokenizer: Tokenizer, limit: int) -> Iterator[Span]:
    """Spans of at most `limit` tokens each."""
    widest = _CHARS_PER_TOKEN * limit
    width = widest
    position = 0
    while content := _CONTENT.search(text, position):
        start = content.start()
        while (room := _fitting(text[start : start + width], tokenizer, limit)) == width < widest:
            width = min(2 * width, widest)
        window = text[start : start + width + 1]  # one more, to see whether a word ends there
        piece = window if room == len(window) else window[: _border(window, room)]
        piece = piece.rstrip()
        # A shorter text can have other tokens at its end, so what was cut is counted again.
        while (tokens := len(tokenizer.encode(piece))) > limit and len(piece) > 1:
            piece = piece[: min(_fitting(piece, tokenizer, limit), len(piece) - 1)].rstrip()
        position = start + len(piece)
        width = min(max(len(piece) * 3 // 2, limit), widest)  # the next one is likely as long
        yield Span(start, position, tokens)


def _fitting(text: str, tokenizer: Tokenizer, limit: int) -> int:
    """Characters that the first `limit` tokens of `text` cover completely."""
    _, offsets = tokenizer.encode_with_offsets(text)
    if len(offsets) <= limit:
        return len(text)
    # A token may be a part of a character; then the next one starts inside it, at its offset.
    return max(min(offsets[limit - 1][1], offsets[limit][0]), 1)


def _border(window: str, room: int) -> int:
    """The best cut in the later half of the first `room` characters; `room` if there is none."""
    for pattern in (_PARAGRAPH, _SENTENCE, _SPACE):
        best = 0
        for match in pattern.finditer(window, room // 2):
            if match.end() > room:
                break
            best = match.end()
        if best:
            return best
    return room
