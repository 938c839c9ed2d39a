"""Which formats of a workbook's cells are white on white."""

from __future__ import annotations

from typing import Any

from lxml import etree

from mplus_ray.pipeline.parsing.formats.hidden.colours import WHITE, alike, hex_colour
from mplus_ray.pipeline.parsing.formats.office_title import xml_parser

_PAPER_THEMES = frozenset(["0"])  # the theme's colour of a window's ground
_PAPER_NUMBERS = frozenset(["1", "9", "65"])  # of white in the old palette


def white_styles(styles: bytes) -> set[str]:
    """Numbers of cell formats whose letters are white on no fill, or on a white one."""
    root = etree.fromstring(styles, xml_parser()) if styles else None
    if root is None:
        return set()
    fonts = [_is_white(font.find("{*}color")) for font in _children(root, "fonts")]
    fills = [_is_paper(fill) for fill in _children(root, "fills")]
    return {
        str(number)
        for number, form in enumerate(_children(root, "cellXfs"))
        if _at(fonts, form.get("fontId"), False) and _at(fills, form.get("fillId"), True)
    }


def _children(root: Any, local: str) -> list[Any]:
    found = root.find(f"{{*}}{local}")
    return [node for node in found if isinstance(node.tag, str)] if found is not None else []


def _at(values: list[bool], number: str | None, default: bool) -> bool:
    place = int(number) if number and number.isascii() and number.isdigit() else len(values)
    return values[place] if place < len(values) else default


def _is_white(colour: Any) -> bool:
    if colour is None or colour.get("tint") not in (None, "0"):
        return False
    if (theme := colour.get("theme")) is not None:
        return theme in _PAPER_THEMES
    if (number := colour.get("indexed")) is not None:
        return number in _PAPER_NUMBERS
    value = hex_colour((colour.get("rgb") or "")[-6:])
    return value is not None and alike(value, WHITE)


def _is_paper(fill: Any) -> bool:
    """Whether a fill paints nothing, or white."""
    pattern = fill.find("{*}patternFill")
    if pattern is None:
        return False
    if pattern.get("patternType", "none") == "none":
        return True
    return pattern.get("patternType") == "solid" and _is_white(pattern.find("{*}fgColor"))
