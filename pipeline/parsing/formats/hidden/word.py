"""Which runs of a Word file nobody sees: hidden, tiny, or of their background's colour."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from itertools import islice
from typing import Any

from lxml import etree

from mplus_ray.pipeline.parsing.formats.hidden.colours import WHITE, Colour, alike, hex_colour
from mplus_ray.pipeline.parsing.formats.office_title import xml_parser

_DEFAULT = "default paragraph"
_MOST_PROPERTIES = 64
_OFF = frozenset(["0", "false", "off"])
_DEEPEST = 32  # styles that inherit from one another
_DEEPEST_RUN = 200  # elements that a run whose ground is looked for is in
_SMALLEST = 3  # half points: nobody reads what is smaller
_NARROWEST = 5  # percent of a letter's width, likewise
_HIDING = re.compile(
    rb"""[:<](vanish\b|sz\s[^<>]{0,40}?val=["'][0-2]["']|w\s[^<>]{0,40}?val=["'][0-4]%?["'])"""
)
_COLOUR = re.compile(rb"""[:<]color\s[^<>]{0,200}?val=["']([0-9A-Fa-f]{6})["']""")
_FILL = re.compile(rb""":fill=["']([0-9A-Fa-f]{6})["']""")
# Pictures behind the text, and pages that are not white.
_BEHIND = re.compile(rb"""behindDoc=["'](1|true)|z-index:\s?-|<\w{1,20}:background[ />]""")
_SHAPES = frozenset(["txbxContent", "textbox", "drawing", "pict", "object"])
# Effects that make white letters visible.
_EFFECTS = frozenset(["outline", "shadow", "emboss", "imprint", "glow", "textOutline", "textFill"])

Named = dict[str, Any]
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
        own = _named(_properties(paragraph, "pPr"))
        style = _value(own.get("pStyle")) or _DEFAULT
        direct = _named(_properties(run, "rPr"))
        layers = [direct, self._style(style, "rPr")]
        if name := _value(direct.get("rStyle")):
            layers.insert(1, self._style(name, "rPr"))
        if _is_on(_first(layers, "vanish")):
            return True
        if _is_below(_first(layers, "sz"), _SMALLEST) or _is_below(_first(layers, "w"), _NARROWEST):
            return True
        grounds = [*layers, own, self._style(style, "pPr")]
        return self._judges_colours and self._is_of_its_ground(run, layers, grounds)

    def _is_of_its_ground(self, run: Any, layers: list[Named], grounds: list[Named]) -> bool:
        colour = hex_colour(_value(_first(layers, "color")))
        if colour is None or any(not _EFFECTS.isdisjoint(layer) for layer in layers):
            return False
        ground = self._ground(run, grounds)
        return not isinstance(ground, str) and alike(colour, ground)

    def _ground(self, run: Any, grounds: list[Named]) -> Fill:
        """The nearest colour behind a run."""
        if _first(grounds, "highlight") is not None:
            return "any"
        for layer in grounds:
            if (fill := _fill(layer.get("shd"))) is not None:
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
        properties = _named(_properties(node, f"{local}Pr"))
        if (fill := _fill(properties.get("shd"))) is not None:
            return fill
        name = _value(properties.get("tblStyle"))
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

    def _resolved(self, name: str, properties: str) -> Named:
        """Properties of a style, or those of the ones that it inherits from."""
        found: Named = {}
        for _ in range(_DEEPEST):
            style = self._styles.get(name)
            if style is None:
                break
            found = {**_named(style.find(f"{{*}}{properties}")), **found}
            name = _value(style.find("{*}basedOn"))
        return found


def _by_id(styles: bytes | None) -> dict[str, Any]:
    root = etree.fromstring(styles, xml_parser()) if styles else None
    if root is None:
        return {}
    found: dict[str, Any] = {}
    for style in root.iter("{*}style"):
        kind, is_default = _attribute(style, "type"), _attribute(style, "default")
        found[_attribute(style, "styleId")] = style
        if kind == "paragraph" and is_default in ("1", "true", "on"):
            found[_DEFAULT] = style
    return found


def _may_hide(sources: list[bytes]) -> bool:
    """Whether any letters are white, or of a colour that is also one to stand on."""
    grounds = {hex_colour(fill.decode()) for source in sources for fill in _FILL.findall(source)}
    letters = {
        hex_colour(found.decode()) for source in sources for found in _COLOUR.findall(source)
    }
    return any(colour and (alike(colour, WHITE) or colour in grounds) for colour in letters)


def _fill(shading: Any) -> Fill | None:
    """What a shading paints; None: nothing."""
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
    first = islice(node, 3) if node is not None else ()
    return next((child for child in first if _is(child, local)), None)


def _named(properties: Any) -> Named:
    """Properties by their names; there are no more than so many."""
    found: Named = {}
    for child in islice(properties, _MOST_PROPERTIES) if properties is not None else ():
        if isinstance(child.tag, str):
            found.setdefault(child.tag.rpartition("}")[2], child)
    return found


def _is(node: Any, local: str) -> bool:
    return isinstance(node.tag, str) and node.tag.endswith(f"}}{local}")


def _first(layers: list[Named], local: str) -> Any:
    """The nearest layer's word on a property."""
    return next((layer[local] for layer in layers if local in layer), None)


def _around(run: Any, local: str) -> Any:
    above = islice(run.iterancestors(), _DEEPEST_RUN)
    return next((node for node in above if _is(node, local)), None)


def _is_below(node: Any, least: int) -> bool:
    number = _value(node).rstrip("%")
    return number.isascii() and number.isdigit() and int(number) < least


def _is_on(node: Any) -> bool:
    return node is not None and _value(node) not in _OFF


def _value(node: Any) -> str:
    return _attribute(node, "val") if node is not None else ""


def _attribute(node: Any, local: str) -> str:
    return next(
        (str(value) for key, value in node.attrib.items() if key.endswith(f"}}{local}")), ""
    )
