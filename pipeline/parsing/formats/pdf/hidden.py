"""Whether text on a page can be seen: what cannot be is a way to plant instructions."""

from __future__ import annotations

import ctypes
from functools import cached_property
from typing import Any

import pypdfium2 as pdfium
import pypdfium2.raw as raw

from mplus_ray.pipeline.parsing.formats.hidden.colours import alike
from mplus_ray.pipeline.parsing.formats.pdf.drawn import Drawn

# Rendering modes: only the outline is drawn; nothing, as of recognized text behind a scan too;
# nothing, but what follows is drawn inside the letters.
_OUTLINES, _INVISIBLE, _CLIP_ONLY = (1, 5), 3, 7
_WHITE = 250  # of 255
_FAINT = 26  # of 255: opacity below which letters may be seen or not
_LAYER = "OC\0"  # the mark of optional content, as PDFium gives it
_MOST_CORNERS = 64  # of one path to which text is clipped


class Hiding:
    """Answers for letters by their place in PDFium's order."""

    def __init__(self, page: pdfium.PdfPage, text: pdfium.PdfTextPage) -> None:
        self._page = page
        self._text = text
        self._hidden: dict[int, bool] = {}  # by the address of the instruction's text

    def angle(self, place: int) -> float:
        """In radians, clockwise."""
        return float(raw.FPDFText_GetCharAngle(self._text.raw, place))

    def same_object(self, place: int, other: int) -> bool:
        """Whether two letters were written by one instruction."""
        first = raw.FPDFText_GetTextObject(self._text.raw, place)
        second = raw.FPDFText_GetTextObject(self._text.raw, other)
        return ctypes.addressof(first.contents) == ctypes.addressof(second.contents)

    def hides(self, place: int) -> bool:
        """Whether what the instruction of a letter writes is invisible: off the page, of the
        colour of its background, covered, clipped away, or of a layer that is off.
        """
        owner = raw.FPDFText_GetTextObject(self._text.raw, place)
        if not owner:  # a sign of PDFium's own
            return False
        address = ctypes.addressof(owner.contents)
        known = self._hidden.get(address)
        if known is None:
            known = self._hidden[address] = self._is_unseen(place, owner, address)
        return known

    @property
    def is_drawn(self) -> bool:
        """Whether there is anything on the page besides text."""
        return bool(self._drawn)

    @property
    def is_scan(self) -> bool:
        """Whether pictures cover most of the page."""
        return self._drawn.is_scan

    @cached_property
    def _drawn(self) -> Drawn:
        return Drawn(self._page)

    def _is_unseen(self, place: int, owner: Any, address: int) -> bool:
        box = raw.FS_RECTF()
        raw.FPDFText_GetLooseCharBox(self._text.raw, place, ctypes.byref(box))
        across, up = (box.left + box.right) / 2, (box.bottom + box.top) / 2
        left, bottom, right, top = self._drawn.sheet
        if not (left - 1 <= across <= right + 1 and bottom - 1 <= up <= top + 1):
            return True
        mode = raw.FPDFTextObj_GetTextRenderMode(owner)
        if mode == _INVISIBLE:
            return not self.is_scan
        suspect = (
            self._has_no_colour(place, mode, across, up)
            or mode == _CLIP_ONLY
            or self._drawn.is_covered(address, across, up)
            or _is_clipped(owner, across, up)
            or _is_of_layer(owner)
        )
        return suspect and self._drawn.is_blank(box)

    def _has_no_colour(self, place: int, mode: int, across: float, up: float) -> bool:
        """Whether a letter has its background's colour, or hardly any."""
        parts = [ctypes.c_uint() for _ in range(4)]
        asked = raw.FPDFText_GetStrokeColor if mode in _OUTLINES else raw.FPDFText_GetFillColor
        if not asked(self._text.raw, place, *map(ctypes.byref, parts)):
            return False
        *colour, opacity = (part.value for part in parts)
        if opacity < _FAINT:
            return True
        if min(colour) < _WHITE and not any(alike(colour, fill) for fill in self._drawn.fills):
            return False
        ground = self._drawn.ground(across, up)
        return ground is None or alike(colour, ground)


def _is_clipped(owner: Any, across: float, up: float) -> bool:
    """Whether a point is outside a path to which a text is clipped, by the path's corners."""
    clip = raw.FPDFPageObj_GetClipPath(owner)
    for path in range(raw.FPDFClipPath_CountPaths(clip) if clip else 0):
        count = raw.FPDFClipPath_CountPathSegments(clip, path)
        if not 0 < count <= _MOST_CORNERS:
            continue
        xs, ys = [], []
        x, y = ctypes.c_float(), ctypes.c_float()
        for corner in range(count):
            segment = raw.FPDFClipPath_GetPathSegment(clip, path, corner)
            raw.FPDFPathSegment_GetPoint(segment, ctypes.byref(x), ctypes.byref(y))
            xs.append(x.value)
            ys.append(y.value)
        if not (min(xs) <= across <= max(xs) and min(ys) <= up <= max(ys)):
            return True
    return False


def _is_of_layer(owner: Any) -> bool:
    """Whether it is optional content, which may be off."""
    buffer = (raw.FPDF_WCHAR * 8)()
    size = ctypes.c_ulong()  # bytes of the name and its end
    for place in range(raw.FPDFPageObj_CountMarks(owner)):
        mark = raw.FPDFPageObj_GetMark(owner, place)
        raw.FPDFPageObjMark_GetName(mark, buffer, ctypes.sizeof(buffer), ctypes.byref(size))
        if size.value == 2 * len(_LAYER) and bytes(buffer)[: size.value] == _LAYER.encode(
            "utf-16-le"
        ):
            return True
    return False
