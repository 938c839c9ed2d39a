"""Blocks of a document in reading order, joined to text whose headings are known."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mplus_ray.pipeline.parsing.document import Section

_SPACES = re.compile(r"[ \t\r\n\f\v\u00a0\u2002-\u200a\u202f\u205f\u3000]+")
_INVISIBLE = str.maketrans("", "", "\u00ad\u200b\u2060\ufeff")
_SUPERSCRIPT = str.maketrans("0123456789+-−=()n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁼⁽⁾ⁿ")
_SUBSCRIPT = str.maketrans("0123456789+-−=()", "₀₁₂₃₄₅₆₇₈₉₊₋₋₌₍₎")


def one_line(text: str) -> str:
    """Text with every run of white space as one space, without invisible characters."""
    if text.isascii() and text.isprintable() and "  " not in text:  # most cells and words
        return text.strip(" ")
    return _SPACES.sub(" ", text.translate(_INVISIBLE)).strip()


def superscript(text: str) -> str:
    """`6` as `⁶`; what Unicode has no raised letters for is marked with `^`."""
    return _shifted(text, _SUPERSCRIPT, "^")


def subscript(text: str) -> str:
    """`2` as `₂`; other text stays as it is."""
    return _shifted(text, _SUBSCRIPT, "")


def _shifted(text: str, table: dict[int, int], mark: str) -> str:
    bare = text.strip()
    if not bare:
        return text
    if all(ord(letter) in table for letter in bare):
        return text.translate(table)
    return text.replace(bare, f"{mark}{bare}", 1)


class TextBuilder:
    """Gathers paragraphs, headings, list items and tables."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._sections: list[Section] = []
        self._length = 0
        self._in_list = False

    @property
    def empty(self) -> bool:
        return not self._pieces

    def paragraph(self, text: str) -> None:
        """A paragraph; line ends inside are kept, other white space is folded."""
        lines = [one_line(line) for line in text.split("\n")]
        self._add("\n".join(line for line in lines if line), tight=False)

    def verbatim(self, text: str) -> None:
        """Text whose spaces mean something, such as code."""
        self._add(text.strip("\n").rstrip(), tight=False)

    def heading(self, text: str, level: int) -> None:
        """A heading of level 1 to 9, which begins a section."""
        if title := one_line(text):
            self._add(title, tight=False)
            self._sections.append(Section(title, level, self._length - len(title)))

    def item(self, text: str, marker: str, depth: int = 0) -> None:
        """An item of a list, on a line of its own.

        Args:
            marker: as a reader sees it, such as `1.`; empty for a bullet.
            depth: 0 for a list that is in no other.
        """
        if line := one_line(text):
            begin = f"{marker} " if marker else "- "
            self._add("  " * depth + begin + line, tight=True)

    def table(self, rows: Sequence[Sequence[str]]) -> None:
        """A line a row, cells parted by `|`; an empty cell keeps its place."""
        lines = [table_line(row) for row in rows]
        self._add("\n".join(line for line in lines if line), tight=False)

    def finish(self) -> tuple[str, tuple[Section, ...]]:
        """The text and its sections, whose `start` counts in it."""
        return "".join(self._pieces), tuple(self._sections)

    def _add(self, block: str, tight: bool) -> None:
        if not block.strip():
            return
        if self._pieces:
            gap = "\n" if tight and self._in_list else "\n\n"
            self._pieces.append(gap)
            self._length += len(gap)
        self._pieces.append(block)
        self._length += len(block)
        self._in_list = tight


def table_line(cells: Sequence[str]) -> str:
    """One row; empty if all of its cells are."""
    texts = [one_line(cell) for cell in cells]
    if not any(texts):
        return ""
    return one_line(" | ".join(texts)).rstrip(" |")
