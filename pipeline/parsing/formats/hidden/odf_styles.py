"""Which text the styles of an OpenDocument file hide."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from lxml import etree

from mplus_ray.pipeline.parsing.formats.hidden.colours import WHITE, Colour, alike, hex_colour
from mplus_ray.pipeline.parsing.formats.office_title import xml_parser

_NAMESPACE = "urn:oasis:names:tc:opendocument:xmlns"
OFFICE = f"{{{_NAMESPACE}:office:1.0}}"
STYLE = f"{{{_NAMESPACE}:style:1.0}}"
TEXT = f"{{{_NAMESPACE}:text:1.0}}"
TABLE = f"{{{_NAMESPACE}:table:1.0}}"
DRAW = f"{{{_NAMESPACE}:drawing:1.0}}"
FO = f"{{{_NAMESPACE}:xsl-fo-compatible:1.0}}"

_HREF = "{http://www.w3.org/1999/xlink}href"
_SMALLEST = 1.5  # points: nobody reads what is smaller
_DEEPEST = 32  # styles that inherit from one another
_POINTS = re.compile(r"([\d.]{1,10})pt")
_PERCENT = re.compile(r"(-?\d{1,3}(?:\.\d{1,5})?)%")
# A page, a paragraph or a picture behind the text that may have any colour.
_BEHIND = (b'run-through="background"', b"fill-image", b'fill="bitmap"', b'fill="gradient"')


class OdfStyles:
    """Styles by name, those of `styles.xml` included."""

    def __init__(self, root: Any, styles: bytes) -> None:
        roots = [root]
        if styles and (common := etree.fromstring(styles, xml_parser())) is not None:
            roots.append(common)
        found = [node for each in roots for node in each.iter(f"{STYLE}style")]
        self._names = {node.get(f"{STYLE}name"): node for node in found}
        self.has_colours = self._has_white(roots) and not self._has_grounds(roots)
        self.hides_text = cache(self._hides_text)
        self.colour = cache(self._colour)
        self.ground = cache(self._ground)

    def _has_white(self, roots: list[Any]) -> bool:
        return any(
            (colour := hex_colour(node.get(f"{FO}color"))) and alike(colour, WHITE)
            for root in roots
            for node in root.iter(f"{STYLE}text-properties")
        )

    def _has_grounds(self, roots: list[Any]) -> bool:
        """Whether a page is not white, or pictures may stand behind the text."""
        for root in roots:
            source = etree.tostring(root)
            if any(sign in source for sign in _BEHIND):
                return True
            for node in root.iter(f"{STYLE}page-layout-properties"):
                if node.get(f"{FO}background-color", "transparent") not in (
                    "transparent",
                    "#ffffff",
                ):
                    return True
                if node.get(f"{DRAW}fill", "none") != "none":
                    return True
            if root.find(f".//{STYLE}background-image[@{_HREF}]") is not None:
                return True
            if root.find(f".//{STYLE}map") is not None:  # colours that depend on values
                return True
        return False

    def _said(self, name: str | None, properties: str, attribute: str) -> str | None:
        """What a style, or the first one that it inherits from, says."""
        node = self._names.get(name) if name else None
        for _ in range(_DEEPEST):
            if node is None:
                return None
            inner = node.find(f"{STYLE}{properties}")
            if inner is not None and (value := inner.get(attribute)) is not None:
                return str(value)
            node = self._names.get(node.get(f"{STYLE}parent-style-name"))
        return None

    def _hides_text(self, name: str | None) -> bool:
        """Whether text of that style is hidden or too small to be read."""
        if self._said(name, "text-properties", f"{TEXT}display") == "none":
            return True
        points = _POINTS.fullmatch(self._said(name, "text-properties", f"{FO}font-size") or "")
        return points is not None and float(points[1]) <= _SMALLEST

    def shift(self, name: str | None) -> float:
        """How high letters of that style stand: above 0 raised, below 0 lowered, in percent."""
        place = (self._said(name, "text-properties", f"{STYLE}text-position") or "").split(" ")[0]
        if place in ("super", "sub"):
            return 33.0 if place == "super" else -33.0
        number = _PERCENT.fullmatch(place)
        return float(number[1]) if number is not None else 0.0

    def hides_sheet(self, name: str | None) -> bool:
        """Whether a sheet of that style is not shown."""
        return self._said(name, "table-properties", f"{TABLE}display") == "false"

    def _colour(self, name: str | None) -> str | None:
        """Of letters: `#ffffff`, `auto`, or None where the style does not say."""
        if self._said(name, "text-properties", f"{STYLE}use-window-font-color") == "true":
            return "auto"
        return self._said(name, "text-properties", f"{FO}color")

    def _ground(self, name: str | None) -> Colour | str | None:
        """The colour behind letters; `any` where it is not known, None where none is given."""
        for part in ("text", "paragraph", "table-cell", "table-row", "table", "graphic"):
            value = self._said(name, f"{part}-properties", f"{FO}background-color")
            if value is not None and value != "transparent":
                return hex_colour(value) or "any"
        return None
