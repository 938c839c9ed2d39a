"""A Word document: paragraphs and tables in their order, headings as sections."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docx import Document
from docx.oxml.ns import qn

from mplus_ray.model.errors import DocumentError
from mplus_ray.pipeline.parsing.document import ParsedDocument, Section

_MAX_UNPACKED = 256 * 2**20  # bytes of all its parts
_MAX_RATIO = 200  # unpacked to packed; dense XML reaches 50
_SMALL = 4 * 2**20  # unpacked bytes below which the ratio does not matter
_HEADING = re.compile(r"heading ([1-9])$", re.I)

_P, _TABLE, _ROW, _CELL = qn("w:p"), qn("w:tbl"), qn("w:tr"), qn("w:tc")
_TEXT, _TAB = qn("w:t"), qn("w:tab")
_BREAKS = (qn("w:br"), qn("w:cr"))
_WRAPPERS = (qn("w:sdt"), qn("w:sdtContent"), qn("w:ins"), qn("w:customXml"), qn("w:smartTag"))
# The same text box again, for readers that do not know the newer markup.
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"


def parse_docx(data: bytes, name: str) -> ParsedDocument:
    """Text of the body; a table's row is one line, its cells are parted by `|`."""
    _check_archive(data, name)
    try:
        document = Document(io.BytesIO(data))
        text, sections = _read(document)
        title = document.core_properties.title
    except Exception as error:  # a broken package fails inside python-docx in any way it likes
        raise DocumentError(
            f"{name} is a damaged or unsupported docx ({type(error).__name__}: {error}); "
            "open it and save it again, or export its text"
        ) from error
    title = " ".join(title.split()) or (sections[0].title if sections else Path(name).stem)
    return ParsedDocument(title=title, text=text, sections=tuple(sections))


def _check_archive(data: bytes, name: str) -> None:
    """Refuse what is no docx, and one that would unpack to more than anybody writes."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            sizes = [(part.filename, part.file_size) for part in archive.infolist()]
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise DocumentError(
            f"{name} is not a docx ({error}); a password also makes it unreadable: save a copy "
            "without one, as docx"
        ) from error
    unpacked = sum(size for _, size in sizes)
    ratio = unpacked / max(len(data), 1)
    if unpacked > _MAX_UNPACKED or (unpacked > _SMALL and ratio > _MAX_RATIO):
        raise DocumentError(
            f"{name} would unpack from {len(data):,} to {unpacked:,} bytes; allowed are "
            f"{_MAX_UNPACKED:,} bytes and {_MAX_RATIO} times its size; remove pictures, or split it"
        )
    if "[Content_Types].xml" not in (part for part, _ in sizes):
        raise DocumentError(f"{name} is not a docx: it is a ZIP archive of something else")


def _read(document: Any) -> tuple[str, list[Section]]:
    body = document.element.body
    for element in list(body.iter(_FALLBACK)):
        element.getparent().remove(element)
    levels = _heading_levels(document)
    blocks: list[str] = []
    sections: list[Section] = []
    length = 0
    for element in _blocks(body):
        text = _table(element) if element.tag == _TABLE else _paragraph(element)
        if not text:
            continue
        if element.tag == _P and (level := levels.get(element.style)):
            sections.append(Section(" ".join(text.split()), level, length))
        blocks.append(text)
        length += len(text) + 2
    return "\n\n".join(blocks), sections


def _heading_levels(document: Any) -> dict[str, int]:
    """Levels by style id: the ids are in the writer's language, the names are not."""
    levels = {}
    for style in document.styles:
        if heading := _HEADING.match(style.name or ""):
            levels[style.style_id] = int(heading[1])
        elif style.name == "Title":
            levels[style.style_id] = 1
    return levels


def _blocks(parent: Any) -> Iterator[Any]:
    """Paragraphs and tables, also those inside content controls and tracked insertions."""
    for child in parent:
        if child.tag in (_P, _TABLE):
            yield child
        elif child.tag in _WRAPPERS:
            yield from _blocks(child)


def _paragraph(paragraph: Any) -> str:
    pieces: list[str] = []
    for node in paragraph.iter(_TEXT, _TAB, _P, *_BREAKS):
        if node.tag == _TEXT:
            pieces.append(node.text or "")
        elif node.tag == _TAB:
            pieces.append(" ")
        elif node is not paragraph:  # a line's end, or a paragraph of a text box
            pieces.append("\n")
    return "".join(pieces).strip()


def _table(table: Any) -> str:
    lines = []
    for row in table.iter(_ROW):
        cells = (" ".join(_paragraph(cell).split()) for cell in row if cell.tag == _CELL)
        if line := " | ".join(cell for cell in cells if cell):
            lines.append(line)
    return "\n".join(lines)
