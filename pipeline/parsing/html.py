"""The readable text of an HTML page: blocks as paragraphs, headings as sections."""

from __future__ import annotations

import re
from pathlib import Path

from lxml import etree, html

from mplus_ray.model.errors import DocumentError
from mplus_ray.pipeline.parsing.document import ParsedDocument, Section
from mplus_ray.pipeline.parsing.text import decode

_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_BLOCK_NAMES = (
    "address article aside blockquote body caption dd details dialog div dl dt fieldset "
    "figcaption figure footer form header hr html legend li main nav ol option p pre section "
    "summary table tbody tfoot thead tr ul"
)
_UNREAD_NAMES = (
    "audio button canvas footer form head iframe nav noscript object script select style svg "
    "template textarea video"
)
_BLOCKS = _HEADINGS.keys() | set(_BLOCK_NAMES.split())
_UNREAD = frozenset(_UNREAD_NAMES.split())
_TAG = re.compile(r"<(!doctype|/?[a-z][a-z0-9]*)\b", re.I)
_CHARSET = re.compile(rb"""<meta[^>]+charset\s*=\s*["']?\s*([\w.:-]+)""", re.I)


def parse_html(data: bytes, name: str) -> ParsedDocument:
    """Text a person would read, without scripts, styles, navigation and forms."""
    source = decode(data, name, _declared_encoding(data, name))
    if not source.strip():
        return ParsedDocument(title=Path(name).stem, text="")
    if not _TAG.search(source):
        raise DocumentError(f"{name} is not HTML: it has no tags; rename it to .txt")
    parser = html.HTMLParser(encoding="utf-8", huge_tree=True, remove_comments=True)
    root = html.document_fromstring(source.encode("utf-8", "replace"), parser=parser)
    # Broken markup is repaired, but beyond a limit the parser drops text and only notes it here.
    for entry in parser.error_log:
        if entry.type_name == "ERR_RESOURCE_LIMIT":
            raise DocumentError(f"{name}, line {entry.line}: {entry.message}; simplify the page")
    # A page that marks its main part says itself what is frame and what is content.
    marked = root.xpath("//main | //article[not(ancestor::article)]")
    text, sections = _Reader().read(marked[0] if len(marked) == 1 else root)
    declared = root.findtext(".//title") or ""
    title = " ".join(declared.split()) or (sections[0].title if sections else Path(name).stem)
    return ParsedDocument(title=title, text=text, sections=tuple(sections))


def _declared_encoding(data: bytes, name: str) -> str:
    """The charset of the page's meta element, read as the HTML standard reads it."""
    found = _CHARSET.search(data[:4096])
    if not found:
        return "utf-8"
    label = found[1].decode("ascii").lower()
    if label.startswith("utf-16"):  # it was readable as ASCII, so it cannot be UTF-16
        return "utf-8"
    if label in ("iso-8859-1", "latin1", "ascii", "us-ascii"):
        return "cp1252"
    try:
        "".encode(label)
    except LookupError:
        raise DocumentError(
            f"{name} declares the unknown encoding {label!r}; convert it to UTF-8"
        ) from None
    return label


class _Reader:
    """Gathers paragraphs in document order; no recursion, so depth is no limit."""

    def __init__(self) -> None:
        self._paragraphs: list[str] = []
        self._sections: list[Section] = []
        self._inline: list[str] = []
        self._length = 0
        self._verbatim = 0  # depth of open <pre> elements

    def read(self, root: html.HtmlElement) -> tuple[str, list[Section]]:
        walk = etree.iterwalk(root, events=("start", "end"))
        for event, element in walk:
            tag = element.tag if isinstance(element.tag, str) else ""
            if event == "start":
                self._open(tag)
                if tag in _UNREAD or "hidden" in element.attrib or not tag:
                    walk.skip_subtree()
                elif element.text:
                    self._inline.append(element.text)
            else:
                self._close(tag)
                if element.tail and element is not root:
                    self._inline.append(element.tail)
        self._end_paragraph()
        return "\n\n".join(self._paragraphs), self._sections

    def _open(self, tag: str) -> None:
        if tag in _BLOCKS:
            self._end_paragraph()
        if tag == "br":
            self._inline.append("\n" if self._verbatim else " ")
        if tag in ("td", "th") and "".join(self._inline).strip():
            self._inline.append(" | ")
        if tag == "pre":
            self._verbatim += 1

    def _close(self, tag: str) -> None:
        if tag in _BLOCKS:
            self._end_paragraph(_HEADINGS.get(tag, 0))
        if tag == "pre":
            self._verbatim -= 1

    def _end_paragraph(self, heading: int = 0) -> None:
        raw = "".join(self._inline)
        self._inline.clear()
        text = raw.strip("\n").rstrip() if self._verbatim else " ".join(raw.split())
        if not text.strip():
            return
        if heading:
            self._sections.append(Section(text, heading, self._length))
        self._paragraphs.append(text)
        self._length += len(text) + 2
