"""Hidden text of RTF and OpenDocument files, which the library that reads them would show."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from typing import Any

from lxml import etree

from mplus_ray.pipeline.parsing.formats.office_title import xml_parser
from mplus_ray.pipeline.parsing.packages import BROKEN, part_of

_SMALLEST = 1.5  # points: nobody reads what is smaller
_RTF_SIGNS = re.compile(rb"\\(v(?![a-z])|deleted(?![a-z])|fs[0-3](?!\d))")
_RTF = re.compile(
    rb"\\bin(\d{1,10}) ?|\\([a-z]+)(-?\d{1,10})? ?|\\'[0-9a-f]{2}|\\[^a-z]|[{}]|[^\\{}]+",
    re.I | re.S,
)
_ODF = {
    "office": "urn:oasis:names:tc:opendocument:xmlns:office:1.0",
    "style": "urn:oasis:names:tc:opendocument:xmlns:style:1.0",
    "text": "urn:oasis:names:tc:opendocument:xmlns:text:1.0",
    "fo": "urn:oasis:names:tc:opendocument:xmlns:xsl-fo-compatible:1.0",
}
_OFFICE, _STYLE, _TEXT, _FO = (f"{{{url}}}" for url in _ODF.values())
_ODF_SIGNS = (b"hidden", b"display=", b"annotation", b"font-size")
_POINTS = re.compile(r"([\d.]{1,10})pt")


def without_hidden_rtf(data: bytes) -> bytes:
    """The file without text that is hidden, deleted, or too small to be read."""
    return b"".join(_shown_rtf(data)) if _RTF_SIGNS.search(data) else data


def _shown_rtf(data: bytes) -> Iterator[bytes]:
    """Its tokens; a group takes its formatting with it when it ends."""
    hidden: frozenset[str] = frozenset()  # why text is, at this place
    stack: list[frozenset[str]] = []
    place = 0
    while place < len(data):
        found = _RTF.match(data, place)
        if found is None:  # a backslash at the end
            return
        token, place = found[0], found.end()
        if found[1] is not None:  # bytes that are no text
            end = place + int(found[1])
            yield token + data[place:end]
            place = end
            continue
        word = (found[2] or b"").decode("ascii").lower()
        if token == b"{":
            stack.append(hidden)
        elif token == b"}":
            hidden = stack.pop() if stack else frozenset()
        elif word:
            hidden = _formatted(hidden, word, found[3])
        is_text = not word and token not in (b"{", b"}") and token[:2] != b"\\*"
        if not (hidden and (is_text or word == "u")):
            yield token


def _formatted(hidden: frozenset[str], word: str, number: bytes | None) -> frozenset[str]:
    if word == "plain":
        return frozenset()
    if word in ("v", "deleted"):
        return hidden - {word} if number == b"0" else hidden | {word}
    if word == "fs" and number is not None:
        return hidden | {word} if int(number) <= 2 * _SMALLEST else hidden - {word}
    return hidden


def without_hidden_odf(data: bytes) -> bytes:
    """The file without hidden sections, paragraphs and words; its comments become notes."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            content = part_of(archive, "content.xml")
            styles = part_of(archive, "styles.xml") or b""
            if content is None or not any(sign in content + styles for sign in _ODF_SIGNS):
                return data
            buffer = io.BytesIO()
            with zipfile.ZipFile(buffer, "w") as target:
                for part in archive.namelist():
                    if part == "content.xml":
                        target.writestr(part, _shown_odf(content, styles))
                    elif (kept := part_of(archive, part)) is not None:
                        target.writestr(part, kept)
            return buffer.getvalue()
    except (*BROKEN, etree.XMLSyntaxError, OSError):
        return data  # its parser says what is wrong with it


def _shown_odf(content: bytes, styles: bytes) -> bytes:
    root = etree.fromstring(content, xml_parser())
    if root is None:
        return content
    hidden = _hidden_styles(root, styles)
    for node in list(root.iter(f"{_TEXT}p", f"{_TEXT}h", f"{_TEXT}span", f"{_TEXT}a")):
        if node.get(f"{_TEXT}style-name") in hidden:
            _remove(node)
    for node in list(root.iter(f"{_TEXT}section")):
        if node.get(f"{_TEXT}display") == "none":
            _remove(node)
    for node in list(root.iter(f"{_TEXT}hidden-text")):
        _remove(node)
    for node in list(root.iter(f"{_TEXT}hidden-paragraph")):
        paragraph = node.getparent()
        if node.get(f"{_TEXT}is-hidden") == "true" and paragraph.tag == f"{_TEXT}p":
            _remove(paragraph)
    for number, node in enumerate(list(root.iter(f"{_OFFICE}annotation"))):
        _become_note(node, number)
    return bytes(etree.tostring(root, xml_declaration=True, encoding="UTF-8"))


def _hidden_styles(root: Any, styles: bytes) -> set[str]:
    """Names of styles that hide, those that inherit it included."""
    found = list(root.iter(f"{_STYLE}style"))
    if styles and (common := etree.fromstring(styles, xml_parser())) is not None:
        found += common.iter(f"{_STYLE}style")
    names = {node.get(f"{_STYLE}name"): node for node in found}
    return {name for name, node in names.items() if name and _hides(node, names)}


def _hides(node: Any, names: dict[str, Any]) -> bool:
    display = size = None
    for _ in range(32):  # styles that inherit from one another
        properties = node.find(f"{_STYLE}text-properties")
        if properties is not None:
            display = display or properties.get(f"{_TEXT}display")
            size = size or properties.get(f"{_FO}font-size")
        node = names.get(node.get(f"{_STYLE}parent-style-name", ""))
        if node is None:
            break
    points = _POINTS.fullmatch(size or "")
    return display == "none" or (points is not None and float(points[1]) <= _SMALLEST)


def _remove(node: Any) -> None:
    """With what is in it, but not with what follows."""
    parent, tail = node.getparent(), node.tail or ""
    if parent is None:
        return
    before = node.getprevious()
    if before is not None:
        before.tail = (before.tail or "") + tail
    else:
        parent.text = (parent.text or "") + tail
    parent.remove(node)


def _become_note(node: Any, number: int) -> None:
    """A comment stands where a footnote does."""
    tail, inner = node.tail, [child for child in node if child.tag == f"{_TEXT}p"]
    node.clear()
    node.tag, node.tail = f"{_TEXT}note", tail
    node.set(f"{_TEXT}id", f"comment{number}")
    node.set(f"{_TEXT}note-class", "footnote")
    body = etree.SubElement(node, f"{_TEXT}note-body")
    body.extend(inner)
