"""Answers in a sentence: whether one is wished for, and the one of a passage that has the words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from mplus_ray.actors.messages import Turn

_END = re.compile(r"[.!?…][\"'”’)\]]*\s")
_SHORT = re.compile(r"\b[A-Z][a-z]{0,2}\.\s$")  # "Mr. ", "J. ": no end of a sentence
_KINDS = "a|an|one|the|full|whole|complete|short|single|proper|entire|simple|plain"
# "Answer in a full sentence:", as a clause of its own or the end of one.
_WISH = re.compile(
    rf"[^.?!:;,\n]*\b(?:in|as|with|using)\s+(?:(?:{_KINDS})\s+){{1,3}}sentences?\b\s*[.!:;,]*\s*"
    r"|[^.?!:;,\n]*\b(?:in|using)\s+sentences\b\s*[.!:;,]*\s*",
    re.IGNORECASE,
)
_PARAGRAPH = re.compile(r"\n\s*\n")
_SPACE = re.compile(r"\s+")
_LONGEST = 400  # characters that are shown of a sentence; of a longer one, those round the words


def without_wish(turns: Sequence[Turn]) -> tuple[tuple[Turn, ...], bool]:
    """The turns with the last one's question alone, and whether it, or the system, wishes the
    answer in a sentence."""
    *before, last = turns
    question = _WISH.sub("", last.content).strip()
    if question != last.content.strip() and re.search(r"\w", question):
        return (*before, Turn(last.role, question)), True
    wished = any(turn.role == "system" and _WISH.search(turn.content) for turn in before)
    return tuple(turns), wished


def sentence_with(passage: str, words: str) -> str | None:
    """The first sentence of a passage that has these words in their order, on one line.

    Args:
        words: compared without case, and without space or punctuation round them.

    Returns:
        None if there are no words, or no sentence has them.
    """
    wanted = _SPACE.sub(" ", words).strip(" .,;:!?\"'“”’").casefold()
    if not wanted:
        return None
    whole_word = re.compile(rf"(?<!\w){re.escape(wanted)}(?!\w)")
    for sentence in _sentences(passage):
        match = whole_word.search(sentence.casefold())
        if match is not None:
            return _shown(sentence, match.start())
    return None


def _sentences(passage: str) -> Iterator[str]:
    """Each on one line; none goes on over an empty line, so headings stand apart."""
    for paragraph in _PARAGRAPH.split(passage):
        text, start = _SPACE.sub(" ", paragraph), 0
        for end in _END.finditer(text):
            if not _SHORT.search(text, max(start, end.end() - 6), end.end()):
                yield text[start : end.end()].strip()
                start = end.end()
        yield text[start:].strip()


def _shown(sentence: str, at: int) -> str:
    """A sentence that is as long as a page, round the words."""
    if len(sentence) <= _LONGEST:
        return sentence
    first = max(0, min(at - _LONGEST // 2, len(sentence) - _LONGEST))
    return f"… {sentence[first : first + _LONGEST].strip()} …"
