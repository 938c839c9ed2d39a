"""What a Word file shows, where the library that reads it would lose it or show too much."""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from typing import Any

from lxml import etree

from mplus_ray.model.errors import DocumentError
from mplus_ray.pipeline.parsing.formats.office_title import xml_parser
from mplus_ray.pipeline.parsing.packages import BROKEN
from mplus_ray.pipeline.parsing.refusals import Refusal
from mplus_ray.pipeline.parsing.text_builder import subscript, superscript

_PARTS = re.compile(r"word/(document\d*|footnotes|endnotes|header\d*|footer\d*|comments)\.xml")
_MARKS = (b"vanish", b"noBreakHyphen", b"vertAlign", b":sym ", b':sz w:val="1"', b':sz w:val="2"')
_HALF_POINT_SIZES = frozenset(["0", "1", "2"])  # nobody reads them
_OFF = frozenset(["0", "false", "off"])


def legible(data: bytes, name: str) -> bytes:
    """The file with raised digits as such letters, hyphens kept, hidden text left out.

    Raises:
        DocumentError: it is damaged.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            parts = {part: archive.read(part) for part in archive.namelist() if _PARTS.match(part)}
            changed = {
                part: _changed(content) for part, content in parts.items() if _marked(content)
            }
            return _replaced(archive, changed) if changed else data
    except (*BROKEN, zlib.error, OSError, etree.XMLSyntaxError) as error:
        raise DocumentError(
            f"{name} is a damaged or unsupported docx ({error}); open it and save it again, or "
            "export its text",
            Refusal.DAMAGED,
        ) from error


def _marked(content: bytes) -> bool:
    return any(mark in content for mark in _MARKS)


def _replaced(archive: zipfile.ZipFile, changed: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as target:
        for part in archive.infolist():
            if part.filename in changed:
                target.writestr(part.filename, changed[part.filename])
            elif part.filename.endswith((".xml", ".rels")):
                target.writestr(part.filename, archive.read(part))
    return buffer.getvalue()


def _changed(content: bytes) -> bytes:
    root = etree.fromstring(content, xml_parser())
    if root is None:
        return content
    for run in list(root.iter("{*}r")):
        properties = run.find("{*}rPr")
        if properties is not None and _is_hidden(properties):
            run.getparent().remove(run)
            continue
        shift = properties.find("{*}vertAlign") if properties is not None else None
        _rewrite(run, _value(shift) if shift is not None else "")
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8")


def _rewrite(run: Any, shift: str) -> None:
    for node in run:
        if not isinstance(node.tag, str):
            continue
        local = etree.QName(node).localname
        if local == "t" and shift == "superscript":
            node.text = superscript(node.text or "")
        elif local == "t" and shift == "subscript":
            node.text = subscript(node.text or "")
        elif local == "noBreakHyphen":
            _become(node, "-")
        elif local == "sym" and (letter := _symbol(node)):
            _become(node, letter)


def _become(node: Any, text: str) -> None:
    """Turn a node into text of the same namespace."""
    node.tag = f"{{{etree.QName(node).namespace}}}t"
    node.attrib.clear()
    node.text = text


def _symbol(node: Any) -> str:
    """A letter of a symbol font; those of private use mean nothing without the font."""
    code = next((value for key, value in node.attrib.items() if key.endswith("}char")), "")
    try:
        letter = chr(int(code, 16))
    except (ValueError, OverflowError):
        return ""
    return letter if letter.isprintable() else ""


def _is_hidden(properties: Any) -> bool:
    vanish = properties.find("{*}vanish")
    if vanish is not None and _value(vanish) not in _OFF:
        return True
    size = properties.find("{*}sz")
    return size is not None and _value(size) in _HALF_POINT_SIZES


def _value(node: Any) -> str:
    return next((value for key, value in node.attrib.items() if key.endswith("}val")), "")
