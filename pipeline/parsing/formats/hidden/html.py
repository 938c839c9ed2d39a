"""Which elements of a page nobody sees, by their attributes and the page's style sheets."""

from __future__ import annotations

from itertools import islice
from typing import Any

from mplus_ray.pipeline.parsing.formats.hidden.declarations import (
    Declarations,
    ground_of,
    hiding_properties,
    is_unseen,
    read_declarations,
)
from mplus_ray.pipeline.parsing.formats.hidden.style_sheets import StyleSheets, is_on_paper

_OWN_INSIDE = frozenset(["font-size", "visibility"])
_MOST_INSIDE = 64  # elements in one of hidden letters, each of which may have a colour of its own


class HiddenElements:
    """Answers for the elements of one page."""

    def __init__(self, root: Any) -> None:
        """
        Args:
            root: of the page.
        """
        self._sheets = StyleSheets(root)

    def hide(self, element: Any) -> bool:
        """Whether nobody sees an element, nor what is in it."""
        attributes = element.attrib
        if "hidden" in attributes:
            return bool(attributes["hidden"].lower() != "until-found")
        style = attributes.get("style")
        said = {} if style is None else read_declarations(style)
        if said and (by := hiding_properties(said)) and not _is_undone_inside(element, by):
            return True
        if self._has_hidden_letters(element, said):
            return True
        return self._sheets.hide(element) and "color" not in said

    def _has_hidden_letters(self, element: Any, said: Declarations) -> bool:
        attributes = element.attrib
        letters = said.get("color", attributes.get("color") if element.tag == "font" else None)
        if letters is None:
            return False
        ground = ground_of(said) or attributes.get("bgcolor")
        if not is_unseen(letters, ground):
            return False
        if ground is None and not (self._sheets.is_white and is_on_paper(element)):
            return is_unseen(letters, "#808080")  # transparent on any ground
        inside = list(islice(element.iterdescendants(), _MOST_INSIDE + 1))
        return len(inside) <= _MOST_INSIDE and not any(map(_has_colour, inside))


def _is_undone_inside(element: Any, by: frozenset[str]) -> bool:
    """Whether something in an element may be seen all the same: it may have a size of its own, as
    boxes in a line without gaps have, or be visible in what is not.
    """
    if not by <= _OWN_INSIDE:
        return False
    for each in islice(element.iterdescendants(), _MOST_INSIDE):
        attributes = each.attrib
        if "class" in attributes or any(name in attributes.get("style", "") for name in by):
            return True
    return False


def _has_colour(element: Any) -> bool:
    """Whether an element may have a colour or a ground of its own."""
    attributes = element.attrib
    own = ("style", "class", "id", "color", "bgcolor", "background")
    return element.tag in ("a", "img", "mark", "button") or any(name in attributes for name in own)
