"""Whether text on a page can be seen: what cannot be is a way to plant instructions."""

from __future__ import annotations

import ctypes
from functools import cached_property

import pypdfium2 as pdfium
import pypdfium2.raw as raw

_INVISIBLE = 3  # the rendering mode, of recognized text behind a scan too
_WHITE = 250  # of 255
_MOST_OBJECTS = 20_000  # of one page that are looked at
_SCAN = 0.5  # of a page's area that an image covers, behind which text may be invisible


class Hiding:
    """Answers for letters by their place in PDFium's order."""

    def __init__(self, page: pdfium.PdfPage, text: pdfium.PdfTextPage) -> None:
        self._page = page
        self._text = text

    def angle(self, place: int) -> float:
        """In radians, clockwise."""
        return float(raw.FPDFText_GetCharAngle(self._text.raw, place))

    def same_object(self, place: int, other: int) -> bool:
        """Whether two letters were written by one instruction."""
        first = raw.FPDFText_GetTextObject(self._text.raw, place)
        second = raw.FPDFText_GetTextObject(self._text.raw, other)
        return ctypes.addressof(first.contents) == ctypes.addressof(second.contents)

    def hides(self, place: int) -> bool:
        """Whether a letter is invisible, off the page, or white on nothing."""
        box = raw.FS_RECTF()
        raw.FPDFText_GetLooseCharBox(self._text.raw, place, ctypes.byref(box))
        if not self._is_on_page(box):
            return True
        owner = raw.FPDFText_GetTextObject(self._text.raw, place)
        if owner and raw.FPDFTextObj_GetTextRenderMode(owner) == _INVISIBLE:
            return not self.is_scan
        return self._is_white(place) and not self._is_on_something(box)

    def _is_on_page(self, box: raw.FS_RECTF) -> bool:
        left, bottom, right, top = self._page.get_mediabox()
        across, up = (box.left + box.right) / 2, (box.bottom + box.top) / 2
        return left - 1 <= across <= right + 1 and bottom - 1 <= up <= top + 1

    def _is_white(self, place: int) -> bool:
        parts = [ctypes.c_uint() for _ in range(4)]
        if not raw.FPDFText_GetFillColor(self._text.raw, place, *map(ctypes.byref, parts)):
            return False
        *colour, opacity = (part.value for part in parts)
        return min(colour) >= _WHITE or opacity == 0

    @cached_property
    def _drawn(self) -> list[tuple[int, tuple[float, float, float, float]]]:
        """Kind and place of what is drawn on the page and is no text."""
        found = []
        for place in range(min(raw.FPDFPage_CountObjects(self._page.raw), _MOST_OBJECTS)):
            drawn = raw.FPDFPage_GetObject(self._page.raw, place)
            kind = raw.FPDFPageObj_GetType(drawn)
            if kind != raw.FPDF_PAGEOBJ_TEXT:
                sides = [ctypes.c_float() for _ in range(4)]
                raw.FPDFPageObj_GetBounds(drawn, *map(ctypes.byref, sides))
                left, bottom, right, top = (side.value for side in sides)
                found.append((kind, (left, bottom, right, top)))
        return found

    @property
    def is_drawn(self) -> bool:
        """Whether there is anything on the page besides text."""
        return bool(self._drawn)

    @cached_property
    def is_scan(self) -> bool:
        """Whether pictures cover most of the page."""
        area = self._page.get_width() * self._page.get_height()
        covered = sum(
            (right - left) * (top - bottom)
            for kind, (left, bottom, right, top) in self._drawn
            if kind in (raw.FPDF_PAGEOBJ_IMAGE, raw.FPDF_PAGEOBJ_FORM)
        )
        return covered > _SCAN * area

    def _is_on_something(self, box: raw.FS_RECTF) -> bool:
        across, up = (box.left + box.right) / 2, (box.bottom + box.top) / 2
        return any(
            left <= across <= right and bottom <= up <= top
            for _, (left, bottom, right, top) in self._drawn
        )
