"""White letters on white paper of OpenDocument files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lxml import etree

from mplus_ray.pipeline.parsing.formats.hidden.colours import WHITE, Colour, alike, hex_colour
from mplus_ray.pipeline.parsing.formats.hidden.odf_styles import DRAW, TABLE, TEXT, OdfStyles


@dataclass(frozen=True)
class _Look:
    """How text looks at a place; `ground` None: it may stand on anything."""

    colour: Colour | None
    ground: Colour | None

    @property
    def is_hidden(self) -> bool:
        return self.colour is not None and alike(self.colour, self.ground)


def remove_white(root: Any, styles: OdfStyles) -> None:
    """Blank the text that has its background's colour."""
    stack = [_Look(None, WHITE)]
    for event, node in etree.iterwalk(root, events=("start", "end")):
        if not isinstance(node.tag, str):
            continue
        if event == "start":
            stack.append(_look(node, stack[-1], styles))
            if stack[-1].is_hidden:
                node.text = None
        else:
            stack.pop()
            if stack[-1].is_hidden:
                node.tail = None


def _look(node: Any, around: _Look, styles: OdfStyles) -> _Look:
    """The text directly in an element."""
    if node.tag.startswith(DRAW):
        return _Look(None, None)
    if node.tag.startswith(TEXT):
        name = node.get(f"{TEXT}style-name")
    elif node.tag.startswith(TABLE):
        name = node.get(f"{TABLE}style-name")
    else:
        return around
    said, under = styles.colour(name), styles.ground(name)
    colour = around.colour if said is None else hex_colour(said)
    ground = around.ground
    if under is not None and ground is not None:
        ground = None if isinstance(under, str) else under
    return _Look(colour, ground)
