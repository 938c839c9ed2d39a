"""The words that a file has, by somebody who is no contender where there is one."""

from __future__ import annotations

import re
import unicodedata
import zipfile
from collections import Counter
from pathlib import Path

from lxml import etree, html

from mplus_ray.bench.documents.contenders import is_installed, pdftotext

Words = Counter[str]

_WORD = re.compile(r"\w+")
_MARKUP = re.compile(r"[*_`~^\\|#]+|<br>|\]\([^)\s]*\)")
_GONE = ("{*}del", "{*}moveFrom", "{*}Fallback")
_TEXT, _BREAKS = ("t",), ("tab", "br", "cr", "p", "noBreakHyphen")
_PARTS = ("word/document.xml", "word/footnotes.xml", "word/endnotes.xml")


def words(text: str) -> Words:
    """How often each word occurs, without marks of Markdown, case and ligatures."""
    return Counter(_WORD.findall(unicodedata.normalize("NFKC", _MARKUP.sub(" ", text)).lower()))


def reference(path: Path) -> Words | None:
    """The words of a file: of a PDF as poppler reads it, of a docx all that is in its XML, of a
    page what lies beside it as `expected.html`; None: nobody says.
    """
    suffix = path.suffix.lower()
    if suffix == ".pdf" and is_installed("pdftotext"):
        return words(pdftotext(path))
    if suffix == ".docx":
        return words(_docx(path))
    expected = path.with_name("expected.html")
    if suffix in (".html", ".htm") and path != expected and expected.exists():
        root = html.fromstring(expected.read_bytes().decode("utf-8", "replace"))
        return words(" ".join(root.itertext()))
    return None


def _docx(path: Path) -> str:
    parts: list[str] = []
    with zipfile.ZipFile(path) as archive:
        for name in set(_PARTS) & set(archive.namelist()):
            root = etree.fromstring(archive.read(name))
            for gone in _GONE:
                for element in list(root.iter(gone)):
                    element.clear()
            for element in root.iter():
                local = etree.QName(element).localname if isinstance(element.tag, str) else ""
                if local in _TEXT:
                    parts.append(element.text or "")
                elif local in _BREAKS:
                    parts.append(" ")
    return "".join(parts)
