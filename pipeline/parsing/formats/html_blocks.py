"""An HTML tree to blocks, in one pass that needs no recursion, so that depth is no limit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from lxml import etree

from mplus_ray.pipeline.parsing.document import Section
from mplus_ray.pipeline.parsing.text.builder import TextBuilder, subscript, superscript

_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_BLOCK_NAMES = (
    "address article aside blockquote body caption center dd details dialog div dl dt fieldset "
    "figcaption figure footer form header hr html legend li main nav ol optgroup p pre section "
    "summary table tbody tfoot thead tr ul"
)
_UNREAD_NAMES = (
    "audio button canvas datalist footer head iframe nav noembed noframes noscript object "
    "script style svg template video"
)
_BLOCKS = _HEADINGS.keys() | set(_BLOCK_NAMES.split())
_UNREAD = frozenset(_UNREAD_NAMES.split())
_FIELDS = frozenset(["label", "select", "option", "textarea"])  # which words end at
_STANDING = _FIELDS | {"img", "input"}
_LONGEST_TOLD = 200  # characters of a cell that are told again in the rows below
_MOST_TOLD = 256  # columns of a row up to which cells of those above are told
_NOT_SHOWN = frozenset(
    "hidden password submit reset button image checkbox radio file range".split()
)
# What makes a table a means of layout: its cells are read one after the other.
_LAYOUT = frozenset(["table", "ul", "ol", "pre", "form", "article", "section", *_HEADINGS])


def unread(element: Any) -> bool:
    """Whether it holds nothing for a reader, or is no element at all."""
    if element.tag == "option":
        return "selected" not in element.attrib
    return not isinstance(element.tag, str) or element.tag in _UNREAD


@dataclass
class _List:
    kind: str
    number: int


@dataclass
class _Table:
    """A table that is open; `layout`: its cells are blocks of their own."""

    layout: bool
    rows: list[list[str]] = field(default_factory=list)
    in_cell: bool = False
    below: dict[int, tuple[int, str]] = field(default_factory=dict)  # by column: rows, and text

    def begin_cell(self) -> None:
        """Tell the cells from above that reach down to where the next one stands."""
        row = self.rows[-1]
        while len(row) < _MOST_TOLD and (reaching := self.below.pop(len(row), None)) is not None:
            rows, text = reaching
            if rows > 1:
                self.below[len(row)] = rows - 1, text
            row.append(text)

    def end_cell(self, text: str, columns: int, rows: int) -> None:
        """Put a cell into its row, and keep it for those below."""
        row = self.rows[-1]
        if rows > 1:
            told = text if len(text) <= _LONGEST_TOLD else ""
            for place in range(columns):
                self.below[len(row) + place] = rows - 1, told if place == 0 else ""
        row += [text, *[""] * (columns - 1)]


class HtmlBlocks:
    """Gathers blocks in document order."""

    def __init__(self, hides: Callable[[Any], bool]) -> None:
        """
        Args:
            hides: whether nobody sees an element.
        """
        self._hides = hides
        self._builder = TextBuilder()
        self._inline: list[str] = []
        self._verbatim = 0  # depth of open <pre> elements
        self._lists: list[_List] = []
        self._tables: list[_Table] = []
        self._marker: str | None = None  # of the item that begins
        self._shifts: list[tuple[str, int]] = []  # raised or lowered text that is open

    def read(self, root: Any) -> tuple[str, tuple[Section, ...]]:
        """Text and sections of everything below `root`."""
        layouts = _layout_tables(root)
        walk = etree.iterwalk(root, events=("start", "end"))
        for event, element in walk:
            if event == "end":
                self._close(element)
                if element.tail and element is not root:
                    self._inline.append(element.tail)
            elif unread(element) or self._hides(element):
                walk.skip_subtree()
            else:
                self._open(element, layouts)
                if element.text:
                    self._inline.append(element.text)
        self._end_block()
        return self._builder.finish()

    @property
    def _cell(self) -> _Table | None:
        """The table in one of whose cells the text is, if its rows are lines."""
        table = self._tables[-1] if self._tables else None
        return table if table is not None and table.in_cell and not table.layout else None

    def _open(self, element: Any, layouts: set[Any]) -> None:
        tag = element.tag
        if tag in _BLOCKS:
            self._end_block()
        if tag == "br":
            self._inline.append("\n" if self._verbatim and not self._cell else " ")
        elif tag in _STANDING:
            self._inline.append(f" {_stands_for(element)} ")
        elif tag == "pre":
            self._verbatim += 1
        elif tag in ("ol", "ul"):
            self._lists.append(_List(tag, _start(element)))
        elif tag == "li":
            self._marker = self._next_marker(element)
        elif (shift := _shift_of(element)) is not None:
            self._shifts.append((shift, len(self._inline)))
        elif tag == "table":
            self._tables.append(_Table(element in layouts))
        elif tag == "tr" and self._tables:
            self._tables[-1].rows.append([])
        elif tag in ("td", "th") and self._tables:
            self._open_cell(self._tables[-1])

    def _open_cell(self, table: _Table) -> None:
        self._end_block()
        if not table.rows:
            table.rows.append([])
        if not table.layout:
            table.begin_cell()
        table.in_cell = True

    def _close(self, element: Any) -> None:
        tag = element.tag
        if not isinstance(tag, str):
            return
        if tag in _FIELDS:
            self._inline.append(" ")
        if self._shifts and _shift_of(element) is not None:
            self._shift()
        if tag in _BLOCKS:
            self._end_block(_HEADINGS.get(tag, 0))
        if tag == "pre" and self._verbatim:
            self._verbatim -= 1
        elif tag in ("ol", "ul") and self._lists:
            self._lists.pop()
        elif tag == "li":
            self._marker = None
        elif self._tables:
            self._close_in_table(self._tables[-1], element)

    def _close_in_table(self, table: _Table, element: Any) -> None:
        tag = element.tag
        if tag in ("td", "th"):
            self._close_cell(table, element)
        elif tag == "tr" and table.rows and not table.layout:
            table.begin_cell()
        elif tag == "table":
            self._tables.pop()
            if not table.layout:
                self._builder.table(table.rows)

    def _close_cell(self, table: _Table, element: Any) -> None:
        if table.layout:
            self._end_block()
        else:
            text = "".join(self._inline)
            self._inline.clear()
            table.end_cell(text, _span(element, "colspan"), _span(element, "rowspan"))
        table.in_cell = False

    def _shift(self) -> None:
        tag, begin = self._shifts.pop()
        text = "".join(self._inline[begin:])
        if begin <= len(self._inline):
            self._inline[begin:] = [superscript(text) if tag == "sup" else subscript(text)]

    def _next_marker(self, element: Any) -> str:
        if not self._lists or self._lists[-1].kind == "ul":
            return ""
        current = self._lists[-1]
        value = element.get("value", "")
        if value.isascii() and value.isdigit() and len(value) < 10:
            current.number = int(value)
        current.number += 1
        return f"{current.number - 1}."

    def _end_block(self, heading: int = 0) -> None:
        if self._cell is not None:
            self._inline.append(" ")
            return
        raw = "".join(self._inline)
        self._inline.clear()
        self._shifts.clear()
        if self._verbatim:
            self._builder.verbatim(raw)
        elif not raw.strip():
            return
        elif heading:
            self._builder.heading(raw, heading)
        elif self._marker is not None:
            self._builder.item(raw, self._marker, max(len(self._lists) - 1, 0))
            self._marker = None
        else:
            self._builder.paragraph(raw.replace("\n", " "))


def _shift_of(element: Any) -> str | None:
    """`sup` or `sub`, if it is raised or lowered; of a formula the second part is."""
    if element.tag in ("sup", "sub"):
        return str(element.tag)
    parent = element.getparent()
    if parent is None or parent.tag not in ("msup", "msub") or element.getprevious() is None:
        return None
    return str(parent.tag[1:])


def _layout_tables(root: Any) -> set[Any]:
    """Tables whose cells hold more than text: found in one pass, from within to without."""
    found: set[Any] = set()
    stack: list[Any] = []
    for event, element in etree.iterwalk(root, events=("start", "end")):
        if event == "start":
            if stack and element.tag in _LAYOUT:
                found.add(stack[-1])
            if element.tag == "table":
                stack.append(element)
        elif element.tag == "table" and stack:
            stack.pop()
    return found


def _start(element: Any) -> int:
    value = element.get("start", "")
    return int(value) if value.isascii() and value.isdigit() and len(value) < 10 else 1


def _span(element: Any, name: str) -> int:
    """Columns or rows that a cell takes; more than a few say nothing about where others stand."""
    value = element.get(name, "")
    return min(int(value), 50) if value.isascii() and value.isdigit() and int(value or 1) else 1


def _stands_for(element: Any) -> str:
    """What is seen where an element begins: a picture's text, what stands in a field."""
    if element.tag == "img":
        return str(element.get("alt", ""))
    shows = element.tag == "input" and element.get("type", "text").lower() not in _NOT_SHOWN
    return str(element.get("value", "")) if shows else ""
