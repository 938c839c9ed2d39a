"""reStructuredText by docutils: what a reader sees, without comments, with Sphinx's own markup."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.core import publish_doctree
from docutils.parsers.rst import Directive, Parser, directives, roles
from docutils.parsers.rst.languages import en
from docutils.parsers.rst.states import Inliner
from docutils.statemachine import StringList

from mplus_ray.pipeline.parsing.document import ParsedDocument
from mplus_ray.pipeline.parsing.text.builder import TextBuilder, subscript, superscript
from mplus_ray.pipeline.parsing.text.encodings import decode
from mplus_ray.pipeline.parsing.text.titles import meaningful

_DIRECTIVE = re.compile(r"^[ \t]*\.\. +(?:\|[^|\n]{1,200}\| +)?([\w+.:-]{1,60}?)::(?=\s|$)", re.M)
_ROLE = re.compile(r":([a-zA-Z][\w.+:-]{0,60}):`")
_OPTION = re.compile(r"\s*:[\w-]+:(\s|$)")
_TITLED = re.compile(r"(.+?)\s*<[^<>]*>\s*\Z", re.S)
_SETTINGS = {
    "file_insertion_enabled": False,  # nothing is read beside the file
    "raw_enabled": False,
    "_disable_config": True,
    "report_level": 5,
    "halt_level": 6,
    "line_length_limit": 10_000_000,
}
# Of these nothing is for a reader: lists of other files, HTML as it stands.
_SILENT = frozenset(["toctree", "index", "raw", "highlight", "currentmodule", "meta", "testsetup"])
_UNSEEN = (
    nodes.comment,
    nodes.substitution_definition,
    nodes.target,
    nodes.raw,
    nodes.pending,
    nodes.meta,
    nodes.colspec,
)
# docutils searches the rest of a paragraph at each sign of markup, so its work is the product of
# signs and letters. A document has so much of it, beyond what people write, before its paragraphs
# are read plainly.
_SIGNS = frozenset("*`|_[:-/.+")
_ORDINARY = 200_000  # of one paragraph
_MOST_WORK = 50_000_000  # of a document's other paragraphs
_BLOCKS = (nodes.literal_block, nodes.doctest_block, nodes.math_block)


def parse_rst(data: bytes, name: str) -> ParsedDocument:
    """Its text, with what it says in directives and roles that docutils does not know.

    No other file is read, and nothing is fetched or run.
    """
    text = decode(data, name)
    _register(text)
    parser = Parser(inliner=_BoundedWork().inliner)
    document = publish_doctree(text, parser=parser, settings_overrides=_SETTINGS)
    reader = _Reader()
    reader.blocks(document.children, 1)
    found, sections = reader.builder.finish()
    title = meaningful(document.get("title", ""), name)
    first = sections[0].title if sections else Path(name).stem
    return ParsedDocument(title=title or first, text=found, sections=sections)


class _BoundedWork:
    """Reads markup inside paragraphs in time that is linear in the document."""

    def __init__(self) -> None:
        # Set on an object: docutils takes its patterns from the class, not from its bases.
        self.inliner = Inliner()
        self._parse = self.inliner.parse
        self._left = _MOST_WORK
        self.inliner.parse = self._parse_bounded
        self.inliner.implicit_inline = _as_it_stands

    def _parse_bounded(self, text: str, lineno: int, memo: Any, parent: Any) -> Any:
        work = sum(letter in _SIGNS for letter in text) * len(text)
        if work > _ORDINARY:
            if work > self._left:
                return [nodes.Text(text)], []
            self._left -= work
        return self._parse(text, lineno, memo, parent)


def _as_it_stands(text: str, lineno: int) -> list[Any]:
    """Addresses are text: nobody follows them."""
    return [nodes.Text(text)] if text else []


class _AnyDirective(Directive):
    """One that only Sphinx or another program knows: what it is given, then what is in it."""

    optional_arguments = 1
    final_argument_whitespace = True
    has_content = True

    def run(self) -> list[Any]:
        lines = list(self.content)
        while lines and (_OPTION.match(lines[0]) or not lines[0].strip()):
            lines.pop(0)
        found: list[Any] = []
        given = self.arguments[0].split("\n") if self.arguments else []
        if said := " ".join(line for line in given if not _OPTION.match(line)):
            found.append(nodes.paragraph("", said))
        inner = nodes.container()
        self.state.nested_parse(StringList(lines, source=""), self.content_offset, inner)
        return [*found, *inner.children]


class _Nothing(Directive):
    """One that is for programs."""

    optional_arguments = 1
    final_argument_whitespace = True
    has_content = True

    def run(self) -> list[Any]:
        return []


def _any_role(role: str, raw: str, text: str, line: int, inliner: Any, *_: Any) -> Any:
    """The text of `:ref:`text <target>``, and what is named where there is none."""
    said = nodes.unescape(text)
    titled = _TITLED.match(said)
    return [nodes.inline(raw, titled[1] if titled else said.lstrip("~!"))], []


def _register(text: str) -> None:
    """Give docutils something to do for every name that it does not know."""
    for name in {found[1].lower() for found in _DIRECTIVE.finditer(text)}:
        if name in _SILENT:
            directives.register_directive(name, _Nothing)
        elif name not in en.directives:
            directives.register_directive(name, _AnyDirective)
    for name in {found[1].lower() for found in _ROLE.finditer(text)}:
        if name not in en.roles:
            roles.register_local_role(name, _any_role)


class _Reader:
    """Nodes in order, as blocks."""

    def __init__(self) -> None:
        self.builder = TextBuilder()

    def blocks(self, found: list[Any], level: int) -> None:
        for node in found:
            self._block(node, level)

    def _block(self, node: Any, level: int) -> None:
        builder = self.builder
        if isinstance(node, _UNSEEN):
            return
        if isinstance(node, nodes.system_message):
            for kept in node.findall(nodes.literal_block):  # what docutils could not read
                builder.verbatim(kept.astext())
        elif isinstance(node, nodes.section):
            self.blocks(node.children, level + 1)
        elif isinstance(node, nodes.title | nodes.subtitle):
            builder.heading(_text(node), level)
        elif isinstance(node, nodes.bullet_list | nodes.enumerated_list):
            self._list(node, 0, level)
        elif isinstance(node, nodes.table):
            self._table(node)
        elif not self._leaf(node):
            self.blocks(node.children, level)

    def _leaf(self, node: Any) -> bool:
        """A block that holds no other blocks, or whose text is told as one; whether it was."""
        builder = self.builder
        if isinstance(node, _BLOCKS):
            builder.verbatim(node.astext())
        elif isinstance(node, nodes.line_block):
            builder.paragraph("\n".join(_text(line) for line in node.findall(nodes.line)))
        elif isinstance(node, nodes.field | nodes.option_list_item | nodes.docinfo):
            builder.paragraph(": ".join(filter(None, map(_text, node.children))))
        elif isinstance(node, nodes.footnote | nodes.citation):
            label, *rest = node.children
            builder.paragraph(f"[{_text(label)}] {' '.join(map(_text, rest))}")
        elif isinstance(node, nodes.image):
            builder.paragraph(node.get("alt", ""))
        elif isinstance(node, nodes.TextElement):
            builder.paragraph(_text(node))
        else:
            return False
        return True

    def _list(self, items: Any, depth: int, level: int) -> None:
        start = items.get("start", 1)
        bullet = isinstance(items, nodes.bullet_list)
        for number, item in enumerate(items.children, start):
            first = True
            for block in item.children:
                if first and isinstance(block, nodes.paragraph):
                    self.builder.item(_text(block), "" if bullet else f"{number}.", depth)
                elif isinstance(block, nodes.bullet_list | nodes.enumerated_list):
                    self._list(block, depth + 1, level)
                else:
                    self._block(block, level)
                first = False

    def _table(self, table: Any) -> None:
        if (title := table.next_node(nodes.title)) is not None:
            self.builder.paragraph(_text(title))
        self.builder.table(
            [[_text(cell) for cell in _cells(row)] for row in table.findall(nodes.row)]
        )


def _cells(row: Any) -> Iterator[Any]:
    for cell in row.children:
        yield cell
        for _ in range(min(cell.get("morecols", 0), 50)):
            yield nodes.Text("")


def _text(node: Any) -> str:
    """All that is read in it, on one line."""
    if isinstance(node, nodes.Text):
        return str(node.astext()).replace("\n", " ")
    if isinstance(node, (*_UNSEEN, nodes.system_message)):
        return ""
    if isinstance(node, nodes.image):
        return f" {node.get('alt', '')} "
    inner = ("" if isinstance(node, nodes.TextElement) else " ").join(map(_text, node.children))
    if isinstance(node, nodes.superscript):
        return superscript(inner)
    if isinstance(node, nodes.subscript):
        return subscript(inner)
    if isinstance(node, nodes.footnote_reference | nodes.citation_reference):
        return f"[{inner}]"
    return inner
