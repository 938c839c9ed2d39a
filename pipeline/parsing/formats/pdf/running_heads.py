"""Running heads and page numbers, which every page repeats."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from mplus_ray.pipeline.parsing.formats.pdf.page import Line

_EDGE = 2  # lines at either end of a page that may be such
_FEWEST = 3  # pages that repeat a line
_SHARE = 0.2  # of the pages
_LONGEST = 24  # words of a head; a notice of rights has about 20
_DIGITS = 6  # of a page number, at most
_NUMBERS = re.compile(r"\d+")
_PAGE_NUMBER = re.compile(r"\W*(page|seite|p\.?)?\W*#(\s*(of|/|von|de|sur|\|)\s*#)?\W*", re.I)


Key = tuple[str, int | None]  # a line's text, and by how much its number is ahead of the page


def without_running_heads(pages: Sequence[list[Line]]) -> list[list[Line]]:
    """Each page's lines, with a repeated head only where it stands first."""
    edges = [_edges(lines, page) for page, lines in enumerate(pages)]
    counts = Counter(
        key for lines in edges for key in {key for keys in lines.values() for key in keys}
    )
    most = max(_FEWEST, _SHARE * len(pages))
    repeated = {key for key, count in counts.items() if count >= most}
    seen: set[Key] = set()
    kept = [
        list(_kept(lines, found, repeated, seen)) for lines, found in zip(pages, edges, strict=True)
    ]
    return kept if any(kept) else list(pages)


def without_numbers(lines: Sequence[Line]) -> list[Line]:
    """The lines but for page numbers: what a page says that consists of its head."""
    return [
        line for line in lines if not _PAGE_NUMBER.fullmatch(_NUMBERS.sub("#", line.text.strip()))
    ]


def _kept(
    lines: list[Line], edges: dict[int, list[Key]], repeated: set[Key], seen: set[Key]
) -> Iterator[Line]:
    for line in lines:
        keys = repeated.intersection(edges.get(id(line), ()))
        is_number = any(_PAGE_NUMBER.fullmatch(text) for text, _ in keys)
        if not is_number and not keys & seen:
            yield line
        seen |= keys


def _edges(lines: Sequence[Line], page: int) -> dict[int, list[Key]]:
    """By identity the lines nearest the top and the bottom, with what makes them the same on other
    pages: their text, and in the outermost ones a number that grows with the pages.

    Other numbers are the text itself: the sums at the end of every page of a bill are no head.
    """
    by_height = sorted(lines, key=lambda line: line.y0)
    outer = {0, len(by_height) - 1}
    found: dict[int, list[Key]] = {}
    for place in sorted({*range(_EDGE), *range(len(by_height) - _EDGE, len(by_height))}):
        if 0 <= place < len(by_height):
            line = by_height[place]
            if len(line.text.split()) > _LONGEST:
                continue
            found[id(line)] = [(line.text, None), *(_numbered(line.text, page) * (place in outer))]
    return found


def _numbered(text: str, page: int) -> list[Key]:
    alone = _NUMBERS.sub("#", text)
    if _PAGE_NUMBER.fullmatch(alone):
        return [(alone, None)]
    return [
        (f"{text[: number.start()]}#{text[number.end() :]}", int(number[0]) - page)
        for number in _NUMBERS.finditer(text)
        if len(number[0]) <= _DIGITS
    ]
