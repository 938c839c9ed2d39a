"""Presentations as an audience sees them: without hidden slides and shapes, with raised digits."""

from __future__ import annotations

import io
import posixpath
import re
import zipfile
from typing import Any

from lxml import etree

from mplus_ray.pipeline.parsing.formats.hidden.slide_shapes import (
    Size,
    hidden_shapes,
    shapes_off_slide,
    unseen_runs,
)
from mplus_ray.pipeline.parsing.formats.office_title import xml_parser
from mplus_ray.pipeline.parsing.packages import BROKEN, part_of, repacked
from mplus_ray.pipeline.parsing.refusals import Refusal, RefusalCount, Refusals
from mplus_ray.pipeline.parsing.text.builder import subscript, superscript

_LIST = "ppt/presentation.xml"
_RELATIONS = "ppt/_rels/presentation.xml.rels"
_SLIDE = re.compile(r"ppt/slides/[^/]{1,80}\.xml")
_ID = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
_OFF = frozenset(["0", "false"])


def without_hidden_slides(data: bytes) -> tuple[bytes, tuple[RefusalCount, ...]]:
    """The presentation without what no audience sees, and how many slides were left out."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            size = _size(archive)
            changed: dict[str, bytes] = {}
            hidden: set[str] = set()
            found = Refusals()
            for part in filter(_SLIDE.fullmatch, archive.namelist()):
                root = etree.fromstring(part_of(archive, part) or b"<x/>", xml_parser())
                if root is None:
                    continue
                if root.get("show") in _OFF:
                    hidden.add(part)
                elif _is_changed(root, size, found):
                    changed[part] = etree.tostring(root, xml_declaration=True, encoding="UTF-8")
            if hidden:
                changed[_LIST], count = _shown_list(archive, hidden)
                if count:
                    found.add(".pptx slide", Refusal.UNSEEN, count)
            return repacked(archive, changed) if changed else data, tuple(found.listed())
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


def _size(archive: zipfile.ZipFile) -> Size | None:
    """Of all slides; None: the presentation does not say."""
    root = etree.fromstring(part_of(archive, _LIST) or b"<x/>", xml_parser())
    said = root.find("{*}sldSz") if root is not None else None
    try:
        return None if said is None else Size(int(said.get("cx")), int(said.get("cy")))
    except (TypeError, ValueError):
        return None


def _is_changed(root: Any, size: Size | None, found: Refusals) -> bool:
    """Take out what nobody sees of a slide, and raise digits; whether there was any."""
    off = shapes_off_slide(root, size) if size is not None else []
    if off:
        found.add(".pptx shape off its slide", Refusal.UNSEEN, len(off))
    unseen = [*off, *hidden_shapes(root), *unseen_runs(root)]
    for node in unseen:
        if (parent := node.getparent()) is not None:
            parent.remove(node)
    return _shift(root) or bool(unseen)


def _shift(root: Any) -> bool:
    """Write raised and lowered letters as such; whether there were any."""
    shifted = False
    for properties in root.iter("{*}rPr"):
        baseline = properties.get("baseline", "0").rstrip("%")
        run = properties.getparent()
        text = run.find("{*}t") if run is not None else None
        if baseline.strip("-0.") and text is not None and text.text:
            lowered = baseline.startswith("-")
            text.text = subscript(text.text) if lowered else superscript(text.text)
            shifted = True
    return shifted
