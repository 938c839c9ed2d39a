"""What the style sheets in a page hide, as far as that is certain without running the page.

A rule hides what it matches unless a stronger one may show it: one for a wider screen, one that a
click brings about, or one for another state of the same classes, as tabs and menus have them.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import tinycss2

from mplus_ray.pipeline.parsing.formats.hidden.colours import WHITE, alike
from mplus_ray.pipeline.parsing.formats.hidden.declarations import (
    colour_of,
    ground_of,
    hiding_properties,
    is_unseen,
    read_declarations,
)

_MOST = 262_144  # characters of all style sheets of a page that are read
_MOST_RULES = 24  # for one name, of which an element can have several
_MOST_ABOVE = 256  # elements around one that are looked at
_SCREENS = frozenset(["", "all", "screen"])
# A rule that says any of these may undo one that hides by the others.
_SAME_EFFECT = {
    "font": "font-size",
    "background": "color",
    "background-color": "color",
    "clip-path": "clip",
    "zoom": "transform",
    "overflow-x": "overflow",
    "overflow-y": "overflow",
}
_EFFECTS = frozenset(
    "display visibility content-visibility opacity filter font-size transform clip left right "
    "top bottom text-indent margin-left margin-top margin width height max-width max-height "
    "color".split()
)
_NOT_INSIDE = frozenset(["font-size", "color"])  # what is in an element may have its own
_NO_GROUND = frozenset("none transparent inherit initial unset revert".split())
_NEVER = frozenset(["html", "body", "main", "article"])  # hidden while a page is loaded
_SELECTOR = re.compile(r"[a-zA-Z][\w-]*|[#.][\w-]+")

Strength = tuple[bool, int, int, int, int]  # important, then ids, classes, names, place


@dataclass(frozen=True)
class _Compound:
    """`p#a.b.c`: what one element has to be."""

    tag: str
    id: str
    classes: frozenset[str]

    def matches(self, element: Any) -> bool:
        return self._is_named(element) and self.classes <= _classes(element)

    def may_match(self, element: Any) -> bool:
        """Whether it matches the element, or would with more classes."""
        some = not self.classes or bool(self.classes & _classes(element))
        return self._is_named(element) and some

    def _is_named(self, element: Any) -> bool:
        return self.tag in ("", element.tag) and self.id in ("", element.get("id", ""))

    @property
    def key(self) -> str:
        """A name by which rules for an element are found."""
        if self.id:
            return f"#{self.id}"
        return f".{min(self.classes)}" if self.classes else self.tag


@dataclass(frozen=True)
class _Rule:
    compounds: tuple[_Compound, ...]  # from the outermost to the element
    strength: Strength
    properties: frozenset[str]
    on_white: bool = False  # it hides only where nothing else is the ground


class StyleSheets:
    """Rules of one page that hide, and those that may undo them.

    Attributes:
        is_white: no rule gives a ground of another colour than white.
    """

    def __init__(self, root: Any) -> None:
        """
        Args:
            root: of the page.
        """
        self._hiding: dict[str, list[_Rule]] = defaultdict(list)
        self._showing: dict[str, list[_Rule]] = defaultdict(list)
        self._place = 0
        links = (link.get("rel", "").lower() for link in root.iter("link"))
        self.is_white = not any("stylesheet" in rel for rel in links)
        left = _MOST
        for sheet in root.iter("style"):
            source = (sheet.text or "")[:left]
            left -= len(source)
            if sheet.getparent() is not None and sheet.getparent().tag != "noscript":
                media = sheet.get("media", "").strip().lower()
                rules = tinycss2.parse_stylesheet(source, skip_comments=True, skip_whitespace=True)
                self._read(rules, media in _SCREENS)

    def hide(self, element: Any) -> bool:
        """Whether they hide an element."""
        if not self._hiding or element.tag in _NEVER:
            return False
        names = _names(element)
        for rule in _for(self._hiding, names):
            if rule.properties <= _NOT_INSIDE and len(element):
                continue
            if rule.on_white and not (self.is_white and is_on_paper(element)):
                continue
            if _matches(rule.compounds, element) and not any(
                shown.strength > rule.strength
                and shown.properties & rule.properties
                and shown.compounds[-1].may_match(element)
                for shown in _for(self._showing, names)
            ):
                return True
        return False

    def _read(self, rules: Iterable[Any], is_certain: bool) -> None:
        for rule in rules:
            if rule.type == "at-rule" and rule.content is not None:
                media = tinycss2.serialize(rule.prelude).strip().lower()
                is_media = rule.lower_at_keyword == "media"
                inner = tinycss2.parse_rule_list(
                    rule.content, skip_comments=True, skip_whitespace=True
                )
                self._read(inner, is_certain and is_media and media in _SCREENS)
            elif rule.type == "qualified-rule":
                self._add(rule, is_certain)

    def _add(self, rule: Any, is_certain: bool) -> None:
        if any(token.type == "{} block" for token in rule.content):
            return  # rules in rules
        text = tinycss2.serialize(rule.content)
        said = read_declarations(text)
        self.is_white = self.is_white and _is_white(ground_of(said))
        properties = frozenset(_SAME_EFFECT.get(name, name) for name in said) & _EFFECTS
        if not properties:
            return
        self._place += 1
        hidden = hiding_properties(said)
        letters, ground = said.get("color"), ground_of(said)
        unseen = letters is not None and is_unseen(letters, ground)
        on_white = unseen and not hidden and ground is None
        hidden |= {"color"} if unseen else set()
        hides = bool(hidden)
        properties = hidden or properties
        for selector in tinycss2.serialize(rule.prelude).split(","):
            compounds, is_plain = _compounds(selector)
            if not compounds or (hides and not (is_plain and is_certain)):
                continue
            important = "!important" in text.lower().replace(" ", "")
            strength = _strength(important, selector, self._place)
            found = self._hiding if hides else self._showing
            last = compounds[-1]
            # By each class: an element may get the others.
            keys = [last.key] if hides else [f".{name}" for name in last.classes] or [last.key]
            for key in keys:
                if len(found[key]) < _MOST_RULES:
                    found[key].append(_Rule(compounds, strength, properties, on_white))


def _is_white(ground: str | None) -> bool:
    """Whether a ground is white, or none at all."""
    if ground is None or ground in _NO_GROUND:
        return True
    colour = colour_of(ground)
    return colour is not None and (alike(colour[0], WHITE) or colour[1] == 0)


def is_on_paper(element: Any) -> bool:
    """Whether neither an element nor what it is in has a ground of its own, as far as they say."""
    around = (element, *islice(element.iterancestors(), _MOST_ABOVE))
    return not any(has_ground(each) for each in around)


def has_ground(element: Any) -> bool:
    """Whether an element itself says what its ground is."""
    attributes = element.attrib
    if "bgcolor" in attributes or "background" in attributes:
        return True
    style = attributes.get("style")
    return style is not None and "background" in style.lower()


def _compounds(selector: str) -> tuple[tuple[_Compound, ...], bool]:
    """What it asks of elements, and whether that is all it asks: no states, no neighbours."""
    parts = re.split(r"[\s>+~]+", selector.strip())
    is_plain = not re.search(r"[>+~:\[\\*()&]", selector)
    return tuple(_compound(part) for part in parts), is_plain


def _compound(text: str) -> _Compound:
    names = _SELECTOR.findall(re.split(r"[:\[]", text, maxsplit=1)[0])
    tag = next((name.lower() for name in names if name[0] not in "#."), "")
    identity = next((name[1:] for name in names if name[0] == "#"), "")
    return _Compound(tag, identity, frozenset(name[1:] for name in names if name[0] == "."))


def _strength(important: bool, selector: str, place: int) -> Strength:
    names = _SELECTOR.findall(selector)
    ids = sum(name[0] == "#" for name in names)
    classes = sum(name[0] == "." for name in names) + len(re.findall(r"\[|(?<!:):(?!:)", selector))
    return important, ids, classes, len(names) - ids - classes, place


def _names(element: Any) -> list[str]:
    """All keys that rules for an element may have."""
    identity = element.get("id")
    own = [f"#{identity}"] if identity else []
    return [*own, *(f".{name}" for name in _classes(element)), element.tag]


def _for(rules: dict[str, list[_Rule]], names: list[str]) -> Iterator[_Rule]:
    return (rule for name in names for rule in rules.get(name, ()))


def _classes(element: Any) -> frozenset[str]:
    return frozenset(islice(element.get("class", "").split(), 32))


def _matches(compounds: tuple[_Compound, ...], element: Any) -> bool:
    """Whether an element is of the last kind, and in others of those before, in their order."""
    if not compounds[-1].matches(element):
        return False
    wanted = list(compounds[:-1])
    for above in islice(element.iterancestors(), _MOST_ABOVE) if wanted else ():
        if wanted and wanted[-1].matches(above):
            wanted.pop()
    return not wanted
