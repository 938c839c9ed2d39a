"""Running heads and page numbers, which every page repeats."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from mplus_ray.pipeline.parsing.formats.pdf.page import Line

_EDGE = 2  # lines at either end of a page that may be such
_FEWEST = 3  # pages that repeat a line
_SHARE = 0.2  # of the pages
_NUMBERS = re.compile(r"\d+")
_PAGE_NUMBER = re.compile(r"\W*(page|seite|p\.?)?\W*#(\s*(of|/|von|de|sur|\|)\s*#)?\W*", re.I)


def without_running_heads(pages: Sequence[list[Line]]) -> list[list[Line]]:
    """Each page's lines, with a repeated head only where it stands first."""
    counts = Counter(key for lines in pages for key in {key for _, key in _edges(lines)})
    most = max(_FEWEST, _SHARE * len(pages))
    repeated = {key for key, count in counts.items() if count >= most}
    seen: set[str] = set()
    kept = [list(_kept(lines, repeated, seen)) for lines in pages]
    return kept if any(kept) else list(pages)


def _kept(lines: list[Line], repeated: set[str], seen: set[str]) -> Iterator[Line]:
    edges = {id(line): key for line, key in _edges(lines)}
    for line in lines:
        key = edges.get(id(line))
        if key is None or key not in repeated:
            yield line
        elif not _PAGE_NUMBER.fullmatch(key) and key not in seen:
            seen.add(key)
            yield line


def _edges(lines: Sequence[Line]) -> Iterator[tuple[Line, str]]:
    """The lines nearest the top and the bottom, with what makes them the same on other pages.

    Only in the outermost ones may numbers differ: the second may be the text itself.
    """
    by_height = sorted(lines, key=lambda line: line.y0)
    outer = {0, len(by_height) - 1}
    for place in sorted({*range(_EDGE), *range(len(by_height) - _EDGE, len(by_height))}):
        if 0 <= place < len(by_height):
            line = by_height[place]
            yield line, _NUMBERS.sub("#", line.text) if place in outer else line.text
