"""What a Word file shows, where the library that reads it would lose it or show too much."""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from typing import Any

from lxml import etree

from mplus_ray.model.errors import DocumentError
from mplus_ray.pipeline.parsing.formats.hidden.word import WordLooks
from mplus_ray.pipeline.parsing.formats.office_title import xml_parser
from mplus_ray.pipeline.parsing.packages import BROKEN, repacked
from mplus_ray.pipeline.parsing.refusals import Refusal
from mplus_ray.pipeline.parsing.text.builder import subscript, superscript

_PARTS = re.compile(r"word/(document\d*|footnotes|endnotes|header\d*|footer\d*|comments)\.xml")
_STYLES = "word/styles.xml"
_MARKS = (b"noBreakHyphen", b"vertAlign", b":sym ", b":ruby")
# What the font Symbol shows for the letters of ASCII, and for some of its signs.
_GREEK = dict(
    zip(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz\xa3\xb3\xb9\xb1\xb4\xb8\xd7\xae\xa5\xb0\xb6\xd6",
        "ΑΒΧΔΕΦΓΗΙϑΚΛΜΝΟΠΘΡΣΤΥςΩΞΨΖαβχδεφγηιϕκλμνοπθρστυϖωξψζ≤≥≠±×÷⋅→∞°∂√",
        strict=True,
    )
)


def legible(data: bytes, name: str) -> bytes:
    """The file with raised digits as such letters, hyphens kept, hidden text left out.

    Raises:
        DocumentError: it is damaged.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            parts = {part: archive.read(part) for part in archive.namelist() if _PARTS.match(part)}
            styles = archive.read(_STYLES) if _STYLES in archive.namelist() else None
            looks = WordLooks(styles, parts.values())
            changed = {
                part: _changed(content, looks)
                for part, content in parts.items()
                if looks.may_hide or any(mark in content for mark in _MARKS)
            }
            return repacked(archive, changed, _is_read) if changed else data
    except (*BROKEN, zlib.error, OSError, etree.XMLSyntaxError) as error:
        raise DocumentError(
            f"{name} is a damaged or unsupported docx ({error}); open it and save it again, or "
            "export its text",
            Refusal.DAMAGED,
        ) from error


def _is_read(part: str) -> bool:
    return part.endswith((".xml", ".rels"))


def _changed(content: bytes, looks: WordLooks) -> bytes:
    root = etree.fromstring(content, xml_parser())
    if root is None:
        return content
    for ruby in list(root.iter("{*}ruby")):
        _become(ruby, _read_aloud(ruby))
    for run in list(root.iter("{*}r")):
        if looks.may_hide and looks.hides(run):
            run.getparent().remove(run)
            continue
        properties = run.find("{*}rPr")
        shift = properties.find("{*}vertAlign") if properties is not None else None
        _rewrite(run, _value(shift) if shift is not None else "")
    return bytes(etree.tostring(root, xml_declaration=True, encoding="UTF-8"))


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
    tag, tail = f"{{{etree.QName(node).namespace}}}t", node.tail
    node.clear()
    node.tag, node.text, node.tail = tag, text, tail


def _read_aloud(ruby: Any) -> str:
    """Characters with how they are read behind them."""
    base, reading = (
        "".join(
            text.text or "" for part in ruby.iter(f"{{*}}{local}") for text in part.iter("{*}t")
        )
        for local in ("rubyBase", "rt")
    )
    return f"{base}({reading})" if reading else base


def _symbol(node: Any) -> str:
    """A letter of a symbol font; those of private use mean nothing without the font."""
    code = next((value for key, value in node.attrib.items() if key.endswith("}char")), "")
    try:
        letter = chr(int(code, 16))
    except (ValueError, OverflowError):
        return ""
    font = next((value for key, value in node.attrib.items() if key.endswith("}font")), "")
    if font == "Symbol" and 0xF000 <= ord(letter) <= 0xF0FF:
        return _GREEK.get(chr(ord(letter) - 0xF000), "")
    return letter if letter.isprintable() else ""


def _value(node: Any) -> str:
    return next((value for key, value in node.attrib.items() if key.endswith("}val")), "")
