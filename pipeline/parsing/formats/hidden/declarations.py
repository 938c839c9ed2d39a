"""What declarations of CSS say about whether anybody sees an element."""

from __future__ import annotations

import re
from functools import lru_cache

import tinycss2
import tinycss2.color4

from mplus_ray.pipeline.parsing.formats.hidden.colours import WHITE, Colour, alike

_LONGEST = 4096  # characters of one style that are looked at
_PLAIN = re.compile(r"[^\\/\"']*")  # no escapes, comments and texts, which may hold a semicolon
_FAINT = 0.05  # opacity below which nobody sees a thing
_TINY = re.compile(r"(?=.*\d)(0*[01]?(\.\d+)?(px|pt)|0*\.?0*(em|rem|ex|%|vw|vh)?)")
_NOTHING = re.compile(r"(?=.*\d)0*\.?0*(px|pt|em|rem|%)?|0*1px")
_OFF = re.compile(r"-\s*\d{3,}(?![\d%])")  # as part of `-9999px`
_FAR = re.compile(r"-\s*\d{4,}")
_MOVED = re.compile(
    r"translate(3d|x|y)?\([^)]*-\s*\d{4,}|scale(3d|x|y)?\(\s*(?=[\d.])0*\.?0*\s*[,)]"
)
_CLIPPED = re.compile(r"(rect|inset|circle|ellipse)\(\s*(0|1px|50%|100%)")
_OFFSETS = ("left", "right", "top", "bottom", "text-indent")
_MARGINS = ("margin-left", "margin-top", "margin")
_FADES = ("transition", "animation")  # what is invisible at first, and comes
_SIZES = ("width", "height", "max-width", "max-height")
_NUMBER = re.compile(r"(\d*\.?\d+)(%?)")
_FADED = re.compile(r"opacity\(\s*(\d*\.?\d+%?)")
_GROUNDS = ("background-color", "background")

Declarations = dict[str, str]


def read_declarations(style: str) -> Declarations:
    """Values by property, both in small letters; of several of one property the one that counts."""
    return _read(style[:_LONGEST])


@lru_cache(2048)
def _read(style: str) -> Declarations:
    found: Declarations = {}
    important: set[str] = set()
    for name, value, is_important in _pairs(style):
        if name not in important or is_important:
            found[name] = value
            if is_important:
                important.add(name)
    return found


def _pairs(style: str) -> list[tuple[str, str, bool]]:
    if not _PLAIN.fullmatch(style):
        parsed = tinycss2.parse_declaration_list(style, skip_comments=True, skip_whitespace=True)
        return [
            (each.lower_name, tinycss2.serialize(each.value).strip().lower(), each.important)
            for each in parsed
            if each.type == "declaration"
        ]
    pairs = []
    for part in style.lower().split(";"):
        name, mark, value = part.partition(":")
        value, bang, rest = value.partition("!")
        if mark:
            pairs.append((name.strip(), value.strip(), bang + rest.strip() == "!important"))
    return pairs


def hiding_properties(said: Declarations) -> frozenset[str]:
    """The properties by which an element is hidden with all that is in it; colours apart."""
    found = set()
    if said.get("display") == "none":
        found.add("display")
    if said.get("visibility") in ("hidden", "collapse"):
        found.add("visibility")
    if said.get("content-visibility") == "hidden":
        found.add("content-visibility")
    if _is_faint(said.get("opacity", "1")) and not any(n.startswith(_FADES) for n in said):
        found.add("opacity")
    if (faded := _FADED.search(said.get("filter", ""))) and _is_faint(faded[1]):
        found.add("filter")
    sizes = (
        said.get("font-size", ""),
        *(each.split("/")[0] for each in said.get("font", "").split()),
    )
    if any(map(_TINY.fullmatch, sizes)):
        found.add("font-size")
    if _MOVED.search(said.get("transform", "")) or _NOTHING.fullmatch(said.get("zoom", "x")):
        found.add("transform")
    if any(_CLIPPED.search(said.get(name, "")) for name in ("clip", "clip-path")):
        found.add("clip")
    found |= {name for name in _OFFSETS if _OFF.search(said.get(name, ""))}
    found |= {name for name in _MARGINS if _FAR.search(said.get(name, ""))}
    if said.get("overflow", said.get("overflow-x", said.get("overflow-y"))) in ("hidden", "clip"):
        found |= {name for name in _SIZES if _NOTHING.fullmatch(said.get(name, "x"))}
    return frozenset(found)


def _is_faint(opacity: str) -> bool:
    number = _NUMBER.fullmatch(opacity)
    return number is not None and float(number[1]) / (100 if number[2] else 1) < _FAINT


def ground_of(said: Declarations) -> str | None:
    """What is said of an element's ground; None: nothing."""
    return next((said[name] for name in _GROUNDS if name in said), None)


@lru_cache(2048)
def colour_of(value: str) -> tuple[Colour, float] | None:
    """A colour and its opacity; None: it is none that is known here."""
    parsed = tinycss2.color4.parse_color(value)
    if parsed is None or isinstance(parsed, str):
        return None
    try:
        shown = parsed.to("srgb")
    except NotImplementedError:
        return None
    red, green, blue = (round(255 * min(max(each or 0.0, 0.0), 1.0)) for each in shown.coordinates)
    return (red, green, blue), float(parsed.alpha)


def is_unseen(letters: str, ground: str | None) -> bool:
    """Whether letters are transparent or of the colour of their ground; None: it is white."""
    colour = colour_of(letters)
    if colour is None:
        return False
    if colour[1] < _FAINT:
        return True
    below = (WHITE, 1.0) if ground is None else colour_of(ground)
    return below is not None and below[1] > 1 - _FAINT and alike(colour[0], below[0])
