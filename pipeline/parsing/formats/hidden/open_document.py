"""OpenDocument files without hidden text, sheets and rows, with comments as notes."""

from __future__ import annotations

import io
import zipfile
from typing import Any

from lxml import etree

from mplus_ray.pipeline.parsing.formats.hidden.odf_styles import (
    OFFICE,
    TABLE,
    TEXT,
    OdfStyles,
)
from mplus_ray.pipeline.parsing.formats.hidden.odf_white import remove_white
from mplus_ray.pipeline.parsing.formats.office_title import xml_parser
from mplus_ray.pipeline.parsing.packages import BROKEN, part_of, repacked
from mplus_ray.pipeline.parsing.refusals import Refusal, RefusalCount, Refusals
from mplus_ray.pipeline.parsing.text.builder import subscript, superscript

_SIGNS = (
    b"hidden",
    b"display=",
    b"annotation",
    b"font-size",
    b"visibility=",
    b"fo:color=",
    b"text-position",
)


def without_hidden_odf(data: bytes) -> tuple[bytes, tuple[RefusalCount, ...]]:
    """The file without hidden sections, paragraphs, words, sheets and rows; what was left out."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            content = part_of(archive, "content.xml")
            styles = part_of(archive, "styles.xml") or b""
            if content is None or not any(sign in content + styles for sign in _SIGNS):
                return data, ()
            found = Refusals()
            shown = _shown(content, styles, found)
            return repacked(archive, {"content.xml": shown}), tuple(found.listed())
    except (*BROKEN, etree.XMLSyntaxError, OSError):
        return data, ()  # its parser says what is wrong with it


def _shown(content: bytes, styles: bytes, found: Refusals) -> bytes:
    root = etree.fromstring(content, xml_parser())
    if root is None:
        return content
    known = OdfStyles(root, styles)
    for node in list(root.iter(f"{TEXT}p", f"{TEXT}h", f"{TEXT}span", f"{TEXT}a")):
        if known.hides_text(node.get(f"{TEXT}style-name")):
            _empty(node)
        elif node.text and not len(node) and (shift := known.shift(node.get(f"{TEXT}style-name"))):
            node.text = superscript(node.text) if shift > 0 else subscript(node.text)
    for node in list(root.iter(f"{TEXT}section")):
        if node.get(f"{TEXT}display") == "none":
            _empty(node)
    for node in list(root.iter(f"{TEXT}hidden-text")):
        _empty(node)
    for node in list(root.iter(f"{TEXT}hidden-paragraph")):
        paragraph = node.getparent()
        if node.get(f"{TEXT}is-hidden") == "true" and paragraph.tag == f"{TEXT}p":
            _empty(paragraph)
    _remove_sheets(root, known, found)
    for number, node in enumerate(list(root.iter(f"{OFFICE}annotation"))):
        _become_note(node, number)
    if known.has_colours:
        remove_white(root, known)
    return bytes(etree.tostring(root, xml_declaration=True, encoding="UTF-8"))


def _remove_sheets(root: Any, known: OdfStyles, found: Refusals) -> None:
    """Sheets and rows of a spreadsheet that are not shown; not those that a filter leaves out."""
    if root.find(f".//{OFFICE}spreadsheet") is None:
        return
    for node in list(root.iter(f"{TABLE}table")):
        if known.hides_sheet(node.get(f"{TABLE}style-name")):
            node.getparent().remove(node)
            found.add(".ods sheet", Refusal.UNSEEN)
    for node in list(root.iter(f"{TABLE}table-row")):
        if node.get(f"{TABLE}visibility") == "collapse" and len(node):
            node.getparent().remove(node)
            found.add(".ods row", Refusal.UNSEEN)


def _empty(node: Any) -> None:
    """Take out what is in it, but not what follows."""
    tail = node.tail
    node.clear()
    node.tail = tail


def _become_note(node: Any, number: int) -> None:
    """A comment stands where a footnote does."""
    tail, inner = node.tail, [child for child in node if child.tag == f"{TEXT}p"]
    node.clear()
    node.tag, node.tail = f"{TEXT}note", tail
    node.set(f"{TEXT}id", f"comment{number}")
    node.set(f"{TEXT}note-class", "footnote")
    body = etree.SubElement(node, f"{TEXT}note-body")
    body.extend(inner)
