"""One page of a PDF: its characters and where they stand, as lines of segments."""

from __future__ import annotations

import ctypes
import math
import unicodedata
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pypdfium2 as pdfium
import pypdfium2.raw as raw

from mplus_ray.pipeline.parsing.formats.pdf.fields import fields_of
from mplus_ray.pipeline.parsing.formats.pdf.hidden import Hiding
from mplus_ray.pipeline.parsing.text.builder import superscript

_WIDE_GAP = 1.5  # heights of a letter between two that belong to different cells or columns
_HEADS = 4  # lines that may be all that a scan has as text: its running heads
_HYPHEN = 2  # PDFium's sign for a hyphen at a line's end
_RAISED = frozenset("0123456789+-−n")
_SMALLEST = 1.5  # points: nobody reads what is smaller
_LETTER = 0.15  # heights of a letter that words of turned text lie apart
_MOST_LOST = 0.2  # letters for each that is known, beyond which a line says nothing
_SQUARE = 0.1  # sine or cosine of text that is turned by a quarter or a half
_STRIDE = 0.75  # sizes of a slanted letter between the middles of two of one word
_SAME_LINE = 0.2  # heights by which the edges of text on one line differ
_NEAR = 0.6  # heights of a letter between two words of a line
_NARROWEST = 0.3  # points of a letter's width on average; nobody reads what is narrower
_OVERLAP = 0.08  # heights by which two words of turned text may overlap


@dataclass
class TextSegment:
    """Text of one line without a wide gap; coordinates in points, upwards.

    Attributes:
        text: its characters, left to right.
        x0, y0, x1, y1: its left, lower, right and upper edge.
    """

    text: str
    x0: float
    y0: float
    x1: float
    y1: float

    @property
    def height(self) -> float:
        return self.y1 - self.y0


@dataclass
class Line:
    """Segments from left to right.

    Attributes:
        joins: its last word goes on in the next line.
        segments: in order.
    """

    segments: list[TextSegment]
    joins: bool = False

    @property
    def text(self) -> str:
        return " ".join(segment.text for segment in self.segments)

    @property
    def y0(self) -> float:
        return min(segment.y0 for segment in self.segments)

    @property
    def y1(self) -> float:
        return max(segment.y1 for segment in self.segments)


@dataclass
class PageLines:
    """The lines of a page.

    Attributes:
        mapped, unmapped: letters whose font says what they are, and others.
        height: of the page in points.
        is_drawn, is_scan: it has little text, but pictures or lines, or pictures that cover it.
        is_damaged: it could not be opened.
        lines: from top to bottom.
    """

    lines: list[Line] = field(default_factory=list)
    mapped: int = 0
    unmapped: int = 0
    height: float = 0.0
    is_drawn: bool = False
    is_scan: bool = False
    is_damaged: bool = False


@dataclass
class _Letter:
    text: str
    x0: float
    y0: float
    x1: float
    y1: float
    place: int  # in PDFium's order


def read_page(page: pdfium.PdfPage, forms: Any) -> PageLines:
    """The lines of a page in PDFium's order, with the values of its fields at their place.

    Args:
        forms: the document's form environment; None: it has no forms.
    """
    found = PageLines(height=page.get_height())
    textpage = page.get_textpage()
    hiding = Hiding(page, textpage)
    letters: list[_Letter] = []
    box = raw.FS_RECTF()
    handle = textpage.raw
    lost = 0  # letters of the line whose font does not say what they are
    high = 0  # the first half of a character beyond 16 bits, which PDFium gives as two
    for place in range(textpage.count_chars()):
        code = raw.FPDFText_GetUnicode(handle, place)
        if 0xD800 <= code <= 0xDBFF:
            high = code
            continue
        if 0xDC00 <= code <= 0xDFFF and high:
            code = 0x10000 + ((high - 0xD800) << 10) + code - 0xDC00
        high = 0
        if code in (10, 13):
            _end_line(found, letters, hiding, lost)
            letters, lost = [], 0
            continue
        if raw.FPDFText_HasUnicodeMapError(handle, place) == 1:
            found.unmapped += 1
            lost += 1
            continue
        if not 0xD800 <= code <= 0xDFFF and code != _HYPHEN and code != 0:
            found.mapped += code != 32
            raw.FPDFText_GetLooseCharBox(handle, place, ctypes.byref(box))
            letter = _Letter(_character(code), box.left, box.bottom, box.right, box.top, place)
            letters.append(letter)
        elif code == _HYPHEN:
            _end_line(found, letters, hiding, lost, joins=True)
            letters, lost = [], 0
    _end_line(found, letters, hiding, lost)
    for value in fields_of(page, forms):
        _insert(found.lines, TextSegment(*value))
    if len(found.lines) <= _HEADS:
        found.is_drawn, found.is_scan = hiding.is_drawn, hiding.is_scan
    textpage.close()
    return found


def _character(code: int) -> str:
    """Letters of formulas as plain ones: a mathematical italic V as V."""
    letter = chr(code)
    return unicodedata.normalize("NFKC", letter) if 0x1D400 <= code <= 0x1D7FF else letter


def _end_line(
    page: PageLines, letters: list[_Letter], hiding: Hiding, lost: int, joins: bool = False
) -> None:
    if lost > _MOST_LOST * len(letters):
        return
    letters = [each for each in letters if each.text == " " or not hiding.hides(each.place)]
    first = next((letter for letter in letters if letter.text != " "), None)
    if first is None or first.y1 == first.y0:
        return
    angle = hiding.angle(first.place)
    if _is_level(angle):
        segments = _segments(letters)
    elif min(abs(math.cos(angle)), abs(math.sin(angle))) < _SQUARE:
        segments = _segments(_turned(letters, angle, hiding))
    else:
        segments = [_slanted(letters)]
    if segments and page.lines and (gap := _goes_on(page.lines[-1], segments[0])) is not None:
        last = page.lines[-1]
        before, first_of_rest = last.segments[-1], segments[0]
        before.text += gap + first_of_rest.text
        before.x1 = first_of_rest.x1
        last.segments += segments[1:]
        last.joins = joins
    elif segments:
        page.lines.append(Line(segments, joins))


def _goes_on(line: Line, segment: TextSegment) -> str | None:
    """What parts a line from text that goes on in it, where PDFium ends lines: after raised
    letters; None: the text is of another line.
    """
    last = line.segments[-1]
    height = last.height
    gap = segment.x0 - last.x1
    same = abs(segment.y0 - last.y0) + abs(segment.y1 - last.y1) < _SAME_LINE * height
    if line.joins or not same or not -_SAME_LINE * height < gap < _NEAR * height:
        return None
    return " " if gap > _LETTER * height else ""


def _segments(letters: list[_Letter]) -> list[TextSegment]:
    """Split at wide gaps, with raised digits as such."""
    found: list[TextSegment] = []
    pieces: list[str] = []
    begin: _Letter | None = None
    last: _Letter | None = None
    base: _Letter | None = None  # the last letter that stood on the line
    for letter in letters:
        if letter.text.isspace():
            pieces.append(" ")
            continue
        height = letter.y1 - letter.y0
        if height < _SMALLEST:
            continue
        if last is not None and begin is not None and _is_apart(last, letter, height):
            _add(found, pieces, begin, last)
            pieces, begin, base = [], None, None
        raised = base is not None and _is_raised(base, letter)
        pieces.append(superscript(letter.text) if raised else letter.text)
        if not raised:
            base = letter
        begin = begin or letter
        last = letter
    if begin is not None and last is not None:
        _add(found, pieces, begin, last)
    return found


def _add(found: list[TextSegment], pieces: list[str], begin: _Letter, last: _Letter) -> None:
    text = " ".join("".join(pieces).split())
    left, right = min(begin.x0, last.x0), max(begin.x1, last.x1)  # also from right to left
    if text and right - left > _NARROWEST * (len(text) - 1):
        found.append(TextSegment(text, left, begin.y0, right, begin.y1))


def _is_apart(last: _Letter, letter: _Letter, height: float) -> bool:
    return letter.x0 - last.x1 > _WIDE_GAP * max(height, last.y1 - last.y0)


def _is_raised(base: _Letter, letter: _Letter) -> bool:
    full = base.y1 - base.y0
    return (
        letter.text in _RAISED
        and letter.y1 - letter.y0 < 0.85 * full
        and letter.y0 > base.y0 + 0.2 * full
    )


def _is_level(angle: float) -> bool:
    return math.cos(angle) > 0.9


def _turned(letters: list[_Letter], angle: float, hiding: Hiding) -> list[_Letter]:
    """Letters as if their line were level; PDFium does not find the spaces of turned ones."""
    cos, sin = round(math.cos(angle)), round(math.sin(angle))
    found: list[_Letter] = []
    last: _Letter | None = None
    for letter in letters:
        if letter.text == " ":
            found.append(letter)
            last = None
            continue
        # PDFium counts angles clockwise, and its coordinates grow upwards.
        xs = [letter.x0 * cos - letter.y0 * sin, letter.x1 * cos - letter.y1 * sin]
        ys = [letter.x0 * sin + letter.y0 * cos, letter.x1 * sin + letter.y1 * cos]
        level = _Letter(letter.text, min(xs), min(ys), max(xs), max(ys), letter.place)
        if last is not None and _is_new_word(last, level, hiding):
            found.append(_Letter(" ", last.x1, last.y0, last.x1, last.y1, last.place))
        found.append(level)
        last = level
    return found


def _slanted(letters: list[_Letter]) -> TextSegment:
    """Text at any other angle; PDFium takes its letters for words."""
    solid = [letter for letter in letters if letter.text != " "]
    pieces = [solid[0].text]
    for last, letter in pairwise(solid):
        size = max(last.x1 - last.x0, last.y1 - last.y0)
        apart = math.hypot(*(b - a for a, b in zip(_middle(last), _middle(letter), strict=True)))
        pieces.append(f" {letter.text}" if apart > _STRIDE * size else letter.text)
    first, end = solid[0], solid[-1]
    return TextSegment("".join(pieces), first.x0, first.y0, max(end.x1, first.x1), first.y1)


def _middle(letter: _Letter) -> tuple[float, float]:
    return (letter.x0 + letter.x1) / 2, (letter.y0 + letter.y1) / 2


def _is_new_word(last: _Letter, letter: _Letter, hiding: Hiding) -> bool:
    height = letter.y1 - letter.y0
    gap = letter.x0 - last.x1
    if gap > _LETTER * height:
        return True
    return gap < -_OVERLAP * height and not hiding.same_object(last.place, letter.place)


def _insert(lines: list[Line], value: TextSegment) -> None:
    """Put a field's value into the line where it stands, or between the lines."""
    middle = (value.y0 + value.y1) / 2
    for line in lines:
        if line.y0 <= middle <= line.y1 and not line.joins:
            before = [segment for segment in line.segments if segment.x0 <= value.x0]
            if before:
                before[-1].text += f" {value.text}"
                before[-1].x1 = max(before[-1].x1, value.x1)
            else:
                line.segments.insert(0, value)
            return
    place = next((n for n, line in enumerate(lines) if line.y1 < middle), len(lines))
    lines.insert(place, Line([value]))
