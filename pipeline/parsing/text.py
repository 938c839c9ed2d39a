"""Plain text and Markdown."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from mplus_ray.model.errors import DocumentError
from mplus_ray.pipeline.parsing.document import ParsedDocument, Section

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark is its beginning
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_ATX = re.compile(r" {0,3}(#{1,6})[ \t]+(.*?)[ \t]*#*[ \t]*$")
_SETEXT = re.compile(r" {0,3}(=+|-+)[ \t]*$")


def encoding_of(start: bytes, declared: str) -> str:
    """What a byte order mark at the beginning says; without one, what is `declared`."""
    return next((encoding for bom, encoding in _BOMS if start.startswith(bom)), declared)


def decode(data: bytes, name: str, declared: str = "utf-8") -> str:
    """Text with `\\n` line ends, or an error that says where the encoding breaks."""
    encoding = encoding_of(data, declared)
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise DocumentError(
            f"{name} is not valid {encoding.upper()}: byte 0x{data[error.start]:02x} at offset "
            f"{error.start}; convert it, for instance with `iconv -f latin1 -t utf-8`"
        ) from error
    controls = len(_CONTROLS.findall(text))
    if "\0" in text or controls > len(text) // 100:
        raise DocumentError(f"{name} is binary data, not text")
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def parse_text(data: bytes, name: str) -> ParsedDocument:
    """The text as it stands, titled by its file name."""
    return ParsedDocument(title=Path(name).stem, text=decode(data, name))


def parse_markdown(data: bytes, name: str) -> ParsedDocument:
    """The source as it stands; its headings become sections, the first one the title."""
    text = decode(data, name)
    sections = tuple(_headings(text))
    title = sections[0].title if sections else Path(name).stem
    return ParsedDocument(title=title, text=text, sections=sections)


def _headings(text: str) -> list[Section]:
    """ATX (`## x`) and setext (underlined) headings outside fenced code."""
    found: list[Section] = []
    fence = ""
    previous, previous_start, start = "", 0, 0
    for line in text.split("\n"):
        opening = _FENCE.match(line)
        if fence:
            if opening and opening[1].startswith(fence):
                fence = ""
            line = ""
        elif opening:
            fence = opening[1]
            line = ""
        elif (atx := _ATX.match(line)) and atx[2]:
            found.append(Section(atx[2], len(atx[1]), start))
            previous = ""
        elif (rule := _SETEXT.match(line)) and previous.strip():
            level = 1 if rule[1].startswith("=") else 2
            found.append(Section(previous.strip(), level, previous_start))
        previous, previous_start = ("" if _ATX.match(line) else line), start
        start = text.find("\n", start) + 1
    return found
