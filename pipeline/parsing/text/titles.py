"""Titles that say something."""

from __future__ import annotations

import re
from pathlib import Path

from mplus_ray.pipeline.parsing.text.builder import one_line

_MOST = 300  # characters of a title
_EMPTY = re.compile(
    r"(untitled|no title|title|document ?\d*|word document|presentation ?\d*"
    r"|powerpoint presentation|slide ?\d*|book ?\d*|new page ?\d*|home|index|default|none|null"
    r"|unknown|microsoft (word|powerpoint|excel)( -.*)?"
    r"|.*\.(docx?|dotx?|rtf|tex|dvi|indd|qxd|pptx?|xlsx?|odt|pdf|txt|html?)|[\W\d_]*)",
    re.I,
)
_PREFIX = re.compile(r"microsoft (word|powerpoint|excel) - ", re.I)


def meaningful(title: str, name: str) -> str | None:
    """A title that a program or a person gave a document; None: it says less than the file's name.

    Args:
        name: the file's.
    """
    text = one_line("".join(letter if letter.isprintable() else " " for letter in title[:2000]))
    if not text or "\ufffd" in text or len(text) > _MOST:
        return None
    if _EMPTY.fullmatch(text) or _PREFIX.match(text) or text == Path(name).stem:
        return None
    return text
