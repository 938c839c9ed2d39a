"""Whether text on a page can be seen: what cannot be is a way to plant instructions."""

from __future__ import annotations

import ctypes
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pypdfium2 as pdfium
import pypdfium2.raw as raw

from mplus_ray.pipeline.parsing.formats.hidden.colours import WHITE, Colour, alike

_INVISIBLE = 3  # the rendering mode, of recognized text behind a scan too
_WHITE = 250  # of 255
_OPAQUE = 250  # of 255
_FLAT = 12  # of 255: shades of one colour, as it is drawn
_MOST_PIXELS = 4_000_000  # of a page that is drawn
_MOST_OBJECTS = 20_000  # of one page that are looked at
_SCAN = 0.5  # of a page's area that an image covers, behind which text may be invisible


@dataclass(frozen=True)
class _Drawn:
    """A thing on the page: its kind and place, whether it hides what is below, and its colour."""

    kind: int
    box: tuple[float, float, float, float]
    is_filled: bool
    colour: Colour | None


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
        """Whether a letter is invisible, off the page, or of its background's colour."""
        box = raw.FS_RECTF()
        raw.FPDFText_GetLooseCharBox(self._text.raw, place, ctypes.byref(box))
        if not self._is_on_page(box):
            return True
        owner = raw.FPDFText_GetTextObject(self._text.raw, place)
        if owner and raw.FPDFTextObj_GetTextRenderMode(owner) == _INVISIBLE:
            return not self.is_scan
        return self._is_of_its_ground(place, box)

    @cached_property
    def _sheet(self) -> tuple[float, float, float, float]:
        """What is shown of the page, by its own boxes or those of the document."""
        left, bottom, right, top = self._page.get_bbox()
        return left, bottom, right, top

    def _is_on_page(self, box: raw.FS_RECTF) -> bool:
        left, bottom, right, top = self._sheet
        across, up = (box.left + box.right) / 2, (box.bottom + box.top) / 2
        return left - 1 <= across <= right + 1 and bottom - 1 <= up <= top + 1

    def _is_of_its_ground(self, place: int, box: raw.FS_RECTF) -> bool:
        """Whether a letter has its background's colour, or none."""
        parts = [ctypes.c_uint() for _ in range(4)]
        if not raw.FPDFText_GetFillColor(self._text.raw, place, *map(ctypes.byref, parts)):
            return False
        *colour, opacity = (part.value for part in parts)
        if opacity == 0:
            return True
        if min(colour) < _WHITE and not any(alike(colour, fill) for fill in self._fills):
            return False
        ground = self._ground(box)
        return (ground is None or alike(colour, ground)) and self._is_blank(box)

    def _ground(self, box: raw.FS_RECTF) -> Colour | None:
        """The colour of the topmost thing there; None: a picture or the like."""
        across, up = (box.left + box.right) / 2, (box.bottom + box.top) / 2
        ground: Colour | None = WHITE
        for one in self._drawn:
            left, bottom, right, top = one.box
            if left <= across <= right and bottom <= up <= top and one.is_filled:
                ground = one.colour
        return ground

    def _is_blank(self, box: raw.FS_RECTF) -> bool:
        """Whether the page, as it is shown, is of one colour there.

        Patterns, which PDFium takes for white, and what lies behind in forms are seen only so.
        """
        picture = self._picture
        high, wide = picture.shape[:2]
        left, bottom, right, top = self._sheet
        across, up = wide / max(right - left, 1.0), high / max(top - bottom, 1.0)
        columns = sorted(((box.left - left) * across, (box.right - left) * across))
        rows = sorted(((top - box.top) * up, (top - box.bottom) * up))
        if self._page.get_rotation():
            return True  # the picture is turned
        part = picture[
            max(int(rows[0]), 0) : max(math.ceil(rows[1]), 1),
            max(int(columns[0]), 0) : max(math.ceil(columns[1]), 1),
        ]
        return not part.size or int(part.max()) - int(part.min()) <= _FLAT

    @cached_property
    def _picture(self) -> Any:
        """The page in grey, a pixel a point. [rows, columns]"""
        width, height = self._page.get_size()
        scale = min(1.0, (_MOST_PIXELS / max(width * height, 1.0)) ** 0.5)
        bitmap = self._page.render(scale=scale, grayscale=True, may_draw_forms=False)
        pixels = bitmap.to_numpy().copy()
        bitmap.close()
        return pixels.reshape(pixels.shape[0], pixels.shape[1])

    @cached_property
    def _drawn(self) -> list[_Drawn]:
        """What is drawn on the page and is no text, from the lowest to the topmost."""
        found = []
        for place in range(min(raw.FPDFPage_CountObjects(self._page.raw), _MOST_OBJECTS)):
            drawn = raw.FPDFPage_GetObject(self._page.raw, place)
            kind = raw.FPDFPageObj_GetType(drawn)
            if kind != raw.FPDF_PAGEOBJ_TEXT:
                sides = [ctypes.c_float() for _ in range(4)]
                raw.FPDFPageObj_GetBounds(drawn, *map(ctypes.byref, sides))
                left, bottom, right, top = (side.value for side in sides)
                filled, colour = _fill(drawn, kind)
                found.append(_Drawn(kind, (left, bottom, right, top), filled, colour))
        return found

    @cached_property
    def _fills(self) -> set[Colour]:
        return {one.colour for one in self._drawn if one.colour is not None}

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
            for kind, (left, bottom, right, top) in ((one.kind, one.box) for one in self._drawn)
            if kind in (raw.FPDF_PAGEOBJ_IMAGE, raw.FPDF_PAGEOBJ_FORM)
        )
        return covered > _SCAN * area


def _fill(drawn: Any, kind: int) -> tuple[bool, Colour | None]:
    """Whether a thing hides what is below it, and by which colour; None: by many."""
    if kind != raw.FPDF_PAGEOBJ_PATH:
        return True, None
    mode, stroke = ctypes.c_int(), ctypes.c_int()
    raw.FPDFPath_GetDrawMode(drawn, ctypes.byref(mode), ctypes.byref(stroke))
    parts = [ctypes.c_uint() for _ in range(4)]
    if not mode.value or not raw.FPDFPageObj_GetFillColor(drawn, *map(ctypes.byref, parts)):
        return False, None
    red, green, blue, opacity = (part.value for part in parts)
    if opacity < _OPAQUE:
        return opacity > 0, None
    return True, (red, green, blue)
