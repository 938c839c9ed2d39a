"""Which runs of a Word file nobody sees: hidden, tiny, or of the colour of what they stand on."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from itertools import islice
from typing import Any

from lxml import etree

from mplus_ray.pipeline.parsing.formats.hidden.colours import WHITE, Colour, alike, hex_colour
from mplus_ray.pipeline.parsing.formats.office_title import xml_parser

_OFF = frozenset(["0", "false", "off"])
_DEEPEST = 32  # styles that inherit from one another
_DEEPEST_RUN = 200  # elements that a run whose ground is looked for is in
_SMALLEST = 3  # half points: nobody reads what is smaller
_HIDING = re.compile(rb"""[:<](vanish\b|sz\s[^<>]{0,40}?val=["'][0-2]["'])""")
_COLOUR = re.compile(rb"""[:<]color\s[^<>]{0,200}?val=["']([0-9A-Fa-f]{6})["']""")
_FILL = re.compile(rb""":fill=["']([0-9A-Fa-f]{6})["']""")
# Pictures behind the text, and pages that are not white.
_BEHIND = re.compile(rb"""behindDoc=["'](1|true)|z-index:\s?-|<\w{1,20}:background[ />]""")
_SHAPES = frozenset(["txbxContent", "textbox", "drawing", "pict", "object"])
# Effects that make white letters visible.
_EFFECTS = frozenset(["outline", "shadow", "emboss", "imprint", "glow", "textOutline", "textFill"])

Fill = Colour | str  # `any` where it is not known


class WordLooks:
    """What the parts of a file say together of how its text looks."""

    def __init__(self, styles: bytes | None, parts: Iterable[bytes]) -> None:
        """
        Args:
            styles: the part with styles; None: there is none.
            parts: those with text.
        """
        sources = [*parts, styles or b""]
        self._styles = _by_id(styles)
        self._judges_colours = not any(map(_BEHIND.search, sources)) and _may_hide(sources)
        self.may_hide = self._judges_colours or any(map(_HIDING.search, sources))
        self._style = cache(self._resolved)
        self._shades = cache(self._is_shading)

    def hides(self, run: Any) -> bool:
        """Whether nobody sees a run."""
        paragraph = _around(run, "p")
        layers = [_properties(run, "rPr")]
        if layers[0] is not None and (name := _value(_child(layers[0], "rStyle"))):
            layers += self._style(name)
        own = _properties(paragraph, "pPr") if paragraph is not None else None
        name = _value(_child(own, "pStyle")) if own is not None else ""
        layers += self._style(name or "default paragraph")
        known = [layer for layer in layers if layer is not None]
        if _is_on(_first(known, "vanish")):
            return True
        size = _value(_first(known, "sz"))
        if size.isascii() and size.isdigit() and int(size) < _SMALLEST:
            return True
        return self._judges_colours and self._is_of_its_ground(run, known, own, name)

    def _is_of_its_ground(self, run: Any, layers: list[Any], own: Any, name: str) -> bool:
        colour = hex_colour(_value(_first(layers, "color")))
        if colour is None or any(_first(layers, effect) is not None for effect in _EFFECTS):
            return False
        ground = self._ground(run, layers, own, name)
        return not isinstance(ground, str) and alike(colour, ground)

    def _ground(self, run: Any, layers: list[Any], own: Any, name: str) -> Fill:
        """The nearest colour behind a run."""
        if _first(layers, "highlight") is not None:
            return "any"
        paragraphs = [own, *self._style(name or "default paragraph", "pPr")]
        for layer in (*layers, *paragraphs):
            if layer is not None and (fill := _fill(layer)) is not None:
                return fill
        for depth, node in enumerate(run.iterancestors()):
            if depth > _DEEPEST_RUN:
                return "any"
            local = etree.QName(node).localname
            if local in _SHAPES:
                return "any"
            if local in ("tc", "tbl") and (fill := self._table_fill(node, local)) is not None:
                return fill
        return WHITE

    def _table_fill(self, node: Any, local: str) -> Fill | None:
        properties = _properties(node, f"{local}Pr")
        if properties is None:
            return None
        if (fill := _fill(properties)) is not None:
            return fill
        name = _value(_child(properties, "tblStyle"))
        return "any" if name and self._shades(name) else None

    def _is_shading(self, name: str) -> bool:
        """Whether a table's style, or one that it inherits from, shades anything."""
        for _ in range(_DEEPEST):
            style = self._styles.get(name)
            if style is None:
                return False
            if style.find(".//{*}shd") is not None:
                return True
            name = _value(style.find("{*}basedOn"))
        return True

    def _resolved(self, name: str, properties: str = "rPr") -> tuple[Any, ...]:
        """Properties of a style and of those that it inherits from, the nearest first."""
        found = []
        for _ in range(_DEEPEST):
            style = self._styles.get(name)
            if style is None:
                break
            if (node := style.find(f"{{*}}{properties}")) is not None:
                found.append(node)
            name = _value(style.find("{*}basedOn"))
        return tuple(found)


def _by_id(styles: bytes | None) -> dict[str, Any]:
    root = etree.fromstring(styles, xml_parser()) if styles else None
    if root is None:
        return {}
    found: dict[str, Any] = {}
    for style in root.iter("{*}style"):
        kind, is_default = _attribute(style, "type"), _attribute(style, "default")
        found[_attribute(style, "styleId")] = style
        if kind == "paragraph" and is_default in ("1", "true", "on"):
            found["default paragraph"] = style
    return found


def _may_hide(sources: list[bytes]) -> bool:
    """Whether any letters are white, or of a colour that is also one to stand on."""
    grounds = {hex_colour(fill.decode()) for source in sources for fill in _FILL.findall(source)}
    letters = {
        hex_colour(found.decode()) for source in sources for found in _COLOUR.findall(source)
    }
    return any(colour and (alike(colour, WHITE) or colour in grounds) for colour in letters)


def _fill(properties: Any) -> Fill | None:
    """What its shading paints; None: nothing."""
    shading = _child(properties, "shd")
    if shading is None:
        return None
    fill, pattern = _attribute(shading, "fill"), _value(shading)
    if pattern not in ("clear", "nil", ""):
        return "any"
    if fill in ("", "auto"):
        return "any" if _attribute(shading, "themeFill") else None
    return hex_colour(fill) or "any"


def _properties(node: Any, local: str) -> Any:
    """What an element says of itself, which stands before all else that is in it."""
    return _child(node, local, 3)


def _child(node: Any, local: str, most: int = 64) -> Any:
    """A child among the first ones; there are no more than so many properties."""
    return next((child for child in islice(node, most) if _is(child, local)), None)


def _is(node: Any, local: str) -> bool:
    return isinstance(node.tag, str) and node.tag.endswith(f"}}{local}")


def _first(layers: list[Any], local: str) -> Any:
    """The nearest layer's word on a property."""
    for layer in layers:
        if (node := _child(layer, local)) is not None:
            return node
    return None


def _around(run: Any, local: str) -> Any:
    above = islice(run.iterancestors(), _DEEPEST_RUN)
    return next((node for node in above if _is(node, local)), None)


def _is_on(node: Any) -> bool:
    return node is not None and _value(node) not in _OFF


def _value(node: Any) -> str:
    return _attribute(node, "val") if node is not None else ""


def _attribute(node: Any, local: str) -> str:
    return next(
        (str(value) for key, value in node.attrib.items() if key.endswith(f"}}{local}")), ""
    )
