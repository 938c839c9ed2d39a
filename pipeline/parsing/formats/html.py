"""The readable text of an HTML page: blocks as paragraphs, headings as sections, rows as lines."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from lxml import etree, html

from mplus_ray.model.errors import DocumentError
from mplus_ray.pipeline.parsing.document import ParsedDocument
from mplus_ray.pipeline.parsing.formats.hidden.html import HiddenElements
from mplus_ray.pipeline.parsing.formats.html_blocks import HtmlBlocks, unread
from mplus_ray.pipeline.parsing.refusals import Refusal
from mplus_ray.pipeline.parsing.text.encodings import decode, labelled
from mplus_ray.pipeline.parsing.text.titles import meaningful

_TAG = re.compile(r"<(!doctype|/?[a-z][a-z0-9]*)\b", re.I)
_CHARSET = re.compile(
    rb"""<meta\s[^>]{0,500}?charset\s{0,20}=\s{0,20}["']?\s{0,20}([\w.:-]+)""", re.I
)
_XML_ENCODING = re.compile(rb"""\s*<\?xml\s[^>]{0,200}?encoding\s{0,20}=\s{0,20}["']([\w.:-]+)""")
# Share of a page's words from which the element that it marks is its main part.
_MAIN = {"//main": 0.2, "//article[not(ancestor::article)]": 0.5}

Hides = Callable[[Any], bool]


def parse_html(data: bytes, name: str) -> ParsedDocument:
    """Text a person would read, without scripts, styles, navigation and what is hidden.

    Raises:
        DocumentError: it is no HTML, is in no known encoding, or is nested too deeply.
    """
    source = decode(data, name, _declared_encoding(data, name))
    if not source.strip():
        return ParsedDocument(title=Path(name).stem, text="")
    if not _TAG.search(source):
        raise DocumentError(
            f"{name} is not HTML: it has no tags; rename it to .txt", Refusal.MISNAMED
        )
    return parse_markup(source, name)


def parse_markup(source: str, name: str) -> ParsedDocument:
    """Parse a page that is decoded already."""
    parser = html.HTMLParser(encoding="utf-8", huge_tree=True, remove_comments=True)
    try:
        root = html.document_fromstring(source.encode("utf-8", "replace"), parser=parser)
    except etree.ParserError:
        return ParsedDocument(title=Path(name).stem, text="")
    # Broken markup is repaired, but beyond a limit the parser drops text and only notes it here.
    for entry in parser.error_log:
        if entry.type_name == "ERR_RESOURCE_LIMIT":
            raise DocumentError(
                f"{name}, line {entry.line}: {entry.message}; simplify the page", Refusal.TOO_LARGE
            )
    hides = HiddenElements(root).hide
    text, sections = HtmlBlocks(hides).read(_main_part(root, hides))
    declared = meaningful(_title(root), name)
    title = declared or (sections[0].title if sections else Path(name).stem)
    return ParsedDocument(title=title, text=text, sections=sections)


def _title(root: Any) -> str:
    """The page's, not that of a drawing in it."""
    found = next((each for each in root.iter("title") if each.getparent().tag != "svg"), None)
    return "" if found is None else found.text or ""


def _declared_encoding(data: bytes, name: str) -> str | None:
    """The charset that the page declares, read as the HTML standard reads it."""
    found = _XML_ENCODING.match(data[:1024]) or _CHARSET.search(data[:4096])
    if not found:
        return None
    label = found[1].decode("ascii").lower()
    if label.startswith("utf-16"):  # it was readable as ASCII, so it cannot be UTF-16
        return "utf-8"
    if (encoding := labelled(label)) is None:
        raise DocumentError(
            f"{name} declares the unknown encoding {label!r}; convert it to UTF-8", Refusal.ENCODING
        )
    return "utf-8" if encoding.startswith("utf-16") else encoding  # as the standard has it


def _main_part(root: Any, hides: Hides) -> Any:
    """The element that the page itself marks as its content, if most of its text is in it."""
    for path, share in _MAIN.items():
        marked = root.xpath(path)
        if len(marked) == 1:
            size = _words(marked[0], hides)
            if size and size >= share * _words(root, hides):
                return marked[0]
    return root


def _words(root: Any, hides: Hides) -> int:
    return sum(len(text.split()) for text in _texts(root, hides))


def _texts(root: Any, hides: Hides) -> Iterator[str]:
    walk = etree.iterwalk(root, events=("start", "end"))
    for event, element in walk:
        if event == "end":
            if element.tail and element is not root:
                yield element.tail
        elif unread(element) or hides(element):
            walk.skip_subtree()
        elif element.text:
            yield element.text
