"""Electronic books without their tables of contents and what they hide; and those encrypted."""

from __future__ import annotations

import io
import re
import zipfile
from typing import Any

from lxml import etree

from mplus_ray.model.errors import DocumentError
from mplus_ray.pipeline.parsing.formats.hidden.declarations import (
    hiding_properties,
    is_unseen,
    read_declarations,
)
from mplus_ray.pipeline.parsing.formats.office_title import xml_parser
from mplus_ray.pipeline.parsing.packages import BROKEN, part_of, repacked
from mplus_ray.pipeline.parsing.refusals import Refusal

_ENCRYPTION = "META-INF/encryption.xml"
# Fonts are often made unreadable by themselves; that hides no text.
_OF_FONTS = ("http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC")
_PAGES = (".xhtml", ".html", ".htm", ".xml")
_SIGNS = re.compile(rb"\shidden[\s=>]|\sstyle\s*=", re.I)
_OWN_INSIDE = frozenset(["font-size", "visibility"])  # what is in an element may have its own
_MOST = 1 << 20  # bytes of a part that describes others


def shown_pages(data: bytes, name: str) -> bytes:
    """The book without pages that only list its chapters, and without hidden elements.

    Raises:
        DocumentError: its chapters are encrypted.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            _refuse_encrypted(part_of(archive, _ENCRYPTION, _MOST), name)
            changed: dict[str, bytes] = {}
            for part in archive.namelist():
                if part.endswith(".opf"):
                    shown = _without_contents(part_of(archive, part, _MOST))
                elif part.endswith(_PAGES):
                    shown = _without_hidden(part_of(archive, part))
                else:
                    continue
                if shown is not None:
                    changed[part] = shown
            return repacked(archive, changed) if changed else data
    except (*BROKEN, etree.XMLSyntaxError, OSError):
        return data  # its parser says what is wrong with it


def _refuse_encrypted(listed: bytes | None, name: str) -> None:
    root = etree.fromstring(listed, xml_parser()) if listed else None
    if root is None:
        return
    for node in root.iter("{*}EncryptionMethod"):
        if node.get("Algorithm", "") not in _OF_FONTS:
            raise DocumentError(
                f"{name} is encrypted for the shop's own reader; hand in a copy without protection",
                Refusal.ENCRYPTED,
            )


def _without_contents(package: bytes | None) -> bytes | None:
    """The package document whose order of reading skips the table of contents; None: as it is."""
    root = etree.fromstring(package, xml_parser()) if package else None
    spine = root.find("{*}spine") if root is not None else None
    if root is None or spine is None:
        return None
    lists = {
        item.get("id")
        for item in root.iter("{*}item")
        if "nav" in item.get("properties", "").split()
    }
    found = [node for node in spine if node.get("idref") in lists]
    if not found or len(found) == len(spine):
        return None
    for node in found:
        spine.remove(node)
    return bytes(etree.tostring(root, xml_declaration=True, encoding="UTF-8"))


def _without_hidden(page: bytes | None) -> bytes | None:
    """The page without elements that say of themselves that nobody sees them; None: it has none."""
    if page is None or not _SIGNS.search(page):
        return None
    root = etree.fromstring(page, xml_parser())
    if root is None:
        return None
    found = [node for node in root.iter() if _is_hidden(node)]
    for node in found:
        node.text = None
        for inner in list(node):
            node.remove(inner)
    return bytes(etree.tostring(root, xml_declaration=True, encoding="UTF-8")) if found else None


def _is_hidden(node: Any) -> bool:
    if not isinstance(node.tag, str):
        return False
    if node.get("hidden", "until-found") != "until-found":
        return True
    said = read_declarations(node.get("style", ""))
    by = hiding_properties(said)
    if by and not (by <= _OWN_INSIDE and len(node)):
        return True
    # A reader chooses the paper, so of colours only one is certain.
    return "color" in said and is_unseen(said["color"], "#808080") and not len(node)
