"""The title that an office file or an e-book declares."""

from __future__ import annotations

import io
import zipfile

from lxml import etree

from mplus_ray.pipeline.parsing.packages import BROKEN, part_of
from mplus_ray.pipeline.parsing.text.titles import meaningful

_PARTS = {
    "docx": "docProps/core.xml",
    "pptx": "docProps/core.xml",
    "xlsx": "docProps/core.xml",
    "odt": "meta.xml",
    "ods": "meta.xml",
    "odp": "meta.xml",
}
_TITLE = "{http://purl.org/dc/elements/1.1/}title"
_MOST = 1 << 20  # bytes of a part with properties


def xml_parser() -> etree.XMLParser:
    """One that expands no entities and reaches no network."""
    return etree.XMLParser(resolve_entities=False, no_network=True, recover=True, huge_tree=True)


def declared_title(data: bytes, kind: str, name: str) -> str | None:
    """None: it declares none that says something."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            part = _PARTS.get(kind) or _package_document(archive, kind)
            content = part_of(archive, part, _MOST) if part else None
    except BROKEN:
        return None
    root = etree.fromstring(content, xml_parser()) if content else None
    found = root.find(f".//{_TITLE}") if root is not None else None
    text = "".join(found.itertext()) if found is not None else ""
    return meaningful(text, name)


def _package_document(archive: zipfile.ZipFile, kind: str) -> str | None:
    """Where an e-book keeps its properties."""
    if kind != "epub":
        return None
    return next((part for part in archive.namelist() if part.endswith(".opf")), None)
