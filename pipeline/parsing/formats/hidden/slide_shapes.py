"""What of one slide no audience sees: hidden shapes and those off the slide, letters without colour
or size.
"""

from __future__ import annotations

from typing import Any, NamedTuple

_SMALLEST = 150  # hundredths of a point: nobody reads what is smaller
_FAINT = 5_000  # of 100,000: opacity below which nobody sees a letter
_ON = frozenset(["1", "true"])
_DEEPEST = 16  # groups in one another
_TREES = ("spTree", "grpSp")
_FRAMES = ("spPr", "grpSpPr", "xfrm")


class Size(NamedTuple):
    """Of a slide, in EMU."""

    width: int
    height: int


class _Scale(NamedTuple):
    """From a group's own coordinates to the slide's."""

    across: float = 1.0
    left: float = 0.0
    up: float = 1.0
    top: float = 0.0


def unseen_runs(root: Any) -> list[Any]:
    """Runs whose letters are tiny, transparent or have no fill."""
    found = []
    for properties in root.iter("{*}rPr"):
        size = properties.get("sz", "")
        tiny = size.isascii() and size.isdigit() and int(size) < _SMALLEST
        if (tiny or _is_clear(properties)) and properties.getparent() is not None:
            found.append(properties.getparent())
    return found


def hidden_shapes(root: Any) -> list[Any]:
    """Shapes that say that they are hidden."""
    return [
        node.getparent().getparent()
        for node in root.iter("{*}cNvPr")
        if node.get("hidden") in _ON and node.getparent() is not None
    ]


def shapes_off_slide(root: Any, size: Size) -> list[Any]:
    """Shapes with text of which no part is on the slide."""
    found: list[Any] = []
    waiting = [(tree, _Scale(), 0) for tree in root.iter("{*}spTree")]
    while waiting:
        group, scale, depth = waiting.pop()
        for shape in group:
            frame = _frame(shape)
            if frame is None or frame.get("rot", "0") != "0":
                continue
            if _local(shape) == "grpSp":
                if depth < _DEEPEST and (inner := _inside(frame, scale)) is not None:
                    waiting.append((shape, inner, depth + 1))
            elif _is_off(frame, scale, size) and _has_text(shape):
                found.append(shape)
    return found


def _is_clear(properties: Any) -> bool:
    """Whether letters have no fill, or one that nobody sees; an outline is seen."""
    if properties.find("{*}ln") is not None:
        return False
    if properties.find("{*}noFill") is not None:
        return True
    alpha = properties.find("{*}solidFill/*/{*}alpha")
    value = "" if alpha is None else alpha.get("val", "").rstrip("%")
    return value.isascii() and value.isdigit() and int(value) < _FAINT


def _frame(shape: Any) -> Any:
    """Where a shape says that it stands; None: where its layout does."""
    for child in shape if isinstance(shape.tag, str) else ():
        if _local(child) == "xfrm":  # of a table
            return child
        if _local(child) in _FRAMES:
            return child.find("{*}xfrm")
    return None


def _inside(frame: Any, scale: _Scale) -> _Scale | None:
    own, inner = _box(frame, "off", "ext"), _box(frame, "chOff", "chExt")
    if own is None or inner is None or not inner[2] or not inner[3]:
        return None
    across, up = own[2] / inner[2], own[3] / inner[3]
    return _Scale(
        scale.across * across,
        scale.left + scale.across * (own[0] - across * inner[0]),
        scale.up * up,
        scale.top + scale.up * (own[1] - up * inner[1]),
    )


def _is_off(frame: Any, scale: _Scale, size: Size) -> bool:
    box = _box(frame, "off", "ext")
    if box is None:
        return False
    left, right = (scale.left + scale.across * x for x in (box[0], box[0] + box[2]))
    top, bottom = (scale.top + scale.up * y for y in (box[1], box[1] + box[3]))
    return right <= 0 or left >= size.width or bottom <= 0 or top >= size.height


def _box(frame: Any, corner: str, extent: str) -> tuple[int, int, int, int] | None:
    """Left, top, width and height."""
    begin, size = frame.find(f"{{*}}{corner}"), frame.find(f"{{*}}{extent}")
    if begin is None or size is None:
        return None
    try:
        return int(begin.get("x")), int(begin.get("y")), int(size.get("cx")), int(size.get("cy"))
    except (TypeError, ValueError):
        return None


def _has_text(shape: Any) -> bool:
    return any((node.text or "").strip() for node in shape.iter("{*}t"))


def _local(node: Any) -> str:
    return node.tag.rpartition("}")[2] if isinstance(node.tag, str) else ""
