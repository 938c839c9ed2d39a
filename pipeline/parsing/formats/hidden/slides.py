"""Presentations without hidden slides, hidden shapes and tiny text."""

from __future__ import annotations

import io
import posixpath
import re
import zipfile
from typing import Any

from lxml import etree

from mplus_ray.pipeline.parsing.formats.office_title import xml_parser
from mplus_ray.pipeline.parsing.packages import BROKEN, part_of, repacked
from mplus_ray.pipeline.parsing.refusals import Refusal, RefusalCount

_LIST = "ppt/presentation.xml"
_RELATIONS = "ppt/_rels/presentation.xml.rels"
_SLIDE = re.compile(r"ppt/slides/[^/]{1,80}\.xml")
_ID = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
_SIGNS = re.compile(rb"""\s(show=["'](0|false)|hidden=["'](1|true)|sz=["']\d{1,3}["'])""")
_SMALLEST = 150  # hundredths of a point: nobody reads what is smaller
_OFF = frozenset(["0", "false"])
_ON = frozenset(["1", "true"])


def without_hidden_slides(data: bytes) -> tuple[bytes, tuple[RefusalCount, ...]]:
    """The presentation without what no audience sees, and how many slides were left out."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            changed: dict[str, bytes] = {}
            hidden: set[str] = set()
            for part in filter(_SLIDE.fullmatch, archive.namelist()):
                content = part_of(archive, part) or b""
                root = etree.fromstring(content, xml_parser()) if _SIGNS.search(content) else None
                if root is None:
                    continue
                if root.get("show") in _OFF:
                    hidden.add(part)
                elif _remove_unseen(root):
                    changed[part] = etree.tostring(root, xml_declaration=True, encoding="UTF-8")
            count = 0
            if hidden:
                changed[_LIST], count = _shown_list(archive, hidden)
            left_out = (RefusalCount(".pptx slide", Refusal.UNSEEN, count),) if count else ()
            return repacked(archive, changed) if changed else data, left_out
    except (*BROKEN, etree.XMLSyntaxError, OSError):
        return data, ()  # its parser says what is wrong with it


def _shown_list(archive: zipfile.ZipFile, hidden: set[str]) -> tuple[bytes, int]:
    """The list of slides without these, and how many were on it."""
    root = etree.fromstring(archive.read(_LIST), xml_parser())
    relations = etree.fromstring(archive.read(_RELATIONS), xml_parser())
    targets = {one.get("Id"): _part(one.get("Target", "")) for one in relations}
    slides = [node for node in root.iter("{*}sldId") if targets.get(node.get(_ID)) in hidden]
    for node in slides:
        node.getparent().remove(node)
    return bytes(etree.tostring(root, xml_declaration=True, encoding="UTF-8")), len(slides)


def _part(target: str) -> str:
    return target[1:] if target.startswith("/") else posixpath.normpath(f"ppt/{target}")


def _remove_unseen(root: Any) -> bool:
    """Take hidden shapes and tiny runs out; whether there were any."""
    shapes = [
        node.getparent().getparent()
        for node in root.iter("{*}cNvPr")
        if node.get("hidden") in _ON and node.getparent() is not None
    ]
    runs = [node.getparent() for node in root.iter("{*}rPr") if _is_tiny(node.get("sz", ""))]
    unseen = [node for node in (*shapes, *runs) if node is not None]
    for node in unseen:
        if (parent := node.getparent()) is not None:
            parent.remove(node)
    return bool(unseen)


def _is_tiny(size: str) -> bool:
    return size.isascii() and size.isdigit() and int(size) < _SMALLEST
