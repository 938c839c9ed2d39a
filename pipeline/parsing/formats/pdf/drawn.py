"""What is drawn on a page besides text, in its order, and how the page looks."""

from __future__ import annotations

import ctypes
import math
from functools import cached_property
from typing import Any

import numpy as np
import pypdfium2 as pdfium
import pypdfium2.raw as raw

from mplus_ray.pipeline.parsing.formats.hidden.colours import WHITE, Colour

_OPAQUE = 250  # of 255
_FLAT = 12  # of 255: shades of one colour, as it is drawn
_MOST_PIXELS = 4_000_000  # of a page that is drawn
_MOST_OBJECTS = 20_000  # of one page that are looked at
_SCAN = 0.5  # of a page's area that an image covers, behind which text may be invisible


class Drawn:
    """The things of one page; each is looked at once, when it is asked for."""

    def __init__(self, page: pdfium.PdfPage) -> None:
        self._page = page
        self._order: dict[int, int] = {}  # of top-level texts: how many things came before
        self._boxes: list[tuple[float, float, float, float]] = []
        self._kinds: list[int] = []
        self._hides: list[bool] = []  # what is below it
        self._colours: list[Colour | None] = []  # None: of many colours, or transparent
        for place in range(min(raw.FPDFPage_CountObjects(page.raw), _MOST_OBJECTS)):
            self._add(raw.FPDFPage_GetObject(page.raw, place))

    def _add(self, drawn: Any) -> None:
        kind = raw.FPDFPageObj_GetType(drawn)
        if kind == raw.FPDF_PAGEOBJ_TEXT:
            self._order[ctypes.addressof(drawn.contents)] = len(self._boxes)
            return
        sides = [ctypes.c_float() for _ in range(4)]
        raw.FPDFPageObj_GetBounds(drawn, *map(ctypes.byref, sides))
        left, bottom, right, top = (side.value for side in sides)
        hides, colour = _fill(drawn, kind)
        self._boxes.append((left, bottom, right, top))
        self._kinds.append(kind)
        self._hides.append(hides)
        self._colours.append(colour)

    def __bool__(self) -> bool:
        return bool(self._boxes)

    @cached_property
    def fills(self) -> set[Colour]:
        """The colours of what is filled with one."""
        return {colour for colour in self._colours if colour is not None}

    def ground(self, across: float, up: float) -> Colour | None:
        """The colour of the topmost thing at a point; None: a picture or the like."""
        there = self._at(across, up)
        return self._colours[there[-1]] if len(there) else WHITE

    def is_covered(self, text: int, across: float, up: float) -> bool:
        """Whether something opaque was drawn at a point after a text, by its object's address."""
        after = self._order.get(text)
        if after is None or after >= len(self._boxes):
            return False
        there = self._at(across, up)
        return bool(len(there)) and any(
            place >= after and self._colours[place] is not None for place in there[-3:]
        )

    def _at(self, across: float, up: float) -> Any:
        """What hides what is below it at a point, from the lowest to the topmost. [things]"""
        left, bottom, right, top = self._columns
        inside = (left <= across) & (across <= right) & (bottom <= up) & (up <= top)
        return np.flatnonzero(inside & self._opaque)

    @cached_property
    def _columns(self) -> Any:
        return np.array(self._boxes, dtype=np.float64).reshape(-1, 4).T

    @cached_property
    def _opaque(self) -> Any:
        return np.array(self._hides, dtype=bool)

    @cached_property
    def is_scan(self) -> bool:
        """Whether pictures cover most of the page."""
        area = self._page.get_width() * self._page.get_height()
        covered = sum(
            (right - left) * (top - bottom)
            for kind, (left, bottom, right, top) in zip(self._kinds, self._boxes, strict=True)
            if kind in (raw.FPDF_PAGEOBJ_IMAGE, raw.FPDF_PAGEOBJ_FORM)
        )
        return covered > _SCAN * area

    @cached_property
    def sheet(self) -> tuple[float, float, float, float]:
        """What is shown of the page, by its own boxes or those of the document."""
        left, bottom, right, top = self._page.get_bbox()
        return left, bottom, right, top

    def is_blank(self, box: raw.FS_RECTF) -> bool:
        """Whether the page, as it is shown, is of one colour there.

        Patterns, which PDFium takes for white, and what lies behind in forms are seen only so.
        """
        picture = self._picture
        high, wide = picture.shape[:2]
        left, bottom, right, top = self.sheet
        across, up = wide / max(right - left, 1.0), high / max(top - bottom, 1.0)
        columns = sorted(((box.left - left) * across, (box.right - left) * across))
        rows = sorted(((top - box.top) * up, (top - box.bottom) * up))
        part = picture[
            max(int(rows[0]), 0) : max(math.ceil(rows[1]), 1),
            max(int(columns[0]), 0) : max(math.ceil(columns[1]), 1),
        ]
        return not part.size or int(part.max()) - int(part.min()) <= _FLAT

    @cached_property
    def _picture(self) -> Any:
        """The page in grey as its text stands, a pixel a point. [rows, columns]"""
        width, height = self._page.get_size()
        scale = min(1.0, (_MOST_PIXELS / max(width * height, 1.0)) ** 0.5)
        back = (360 - self._page.get_rotation()) % 360
        bitmap = self._page.render(scale=scale, rotation=back, grayscale=True, may_draw_forms=False)
        pixels = bitmap.to_numpy().copy()
        bitmap.close()
        return pixels.reshape(pixels.shape[0], pixels.shape[1])


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
