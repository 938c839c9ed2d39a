"""Workbooks without white cells on white, with the rows that a filter leaves out."""

from __future__ import annotations

import io
import re
import zipfile

from lxml import etree

from mplus_ray.pipeline.parsing.formats.hidden.white_cells import white_styles
from mplus_ray.pipeline.parsing.formats.office_title import xml_parser
from mplus_ray.pipeline.parsing.packages import BROKEN, part_of, repacked
from mplus_ray.pipeline.parsing.refusals import Refusal, RefusalCount, Refusals

_SHEET = re.compile(r"xl/worksheets/[^/]{1,80}\.xml")
_TABLE = re.compile(r"xl/tables/[^/]{1,80}\.xml")
# What may make a cell dark that its own style leaves white.
_GROUNDS = re.compile(rb"<(\w{1,20}:)?(conditionalFormatting|tablePart|picture)\b")
_FILTER = re.compile(rb"<(\w{1,20}:)?filterColumn\b")
_HIDDEN_ROW = re.compile(rb"""(<(?:\w{1,20}:)?row\b[^<>]{0,300}?)\shidden=["'](?:1|true)["']""")
_HIDDEN_COLUMNS = re.compile(
    rb"""<(?:\w{1,20}:)?col\b[^<>]{0,300}?\shidden=["'](?:1|true)["'][^<>]*"""
)
_SPAN = re.compile(rb"""\s(min|max)=["'](\d{1,5})["']""")
_LAST = re.compile(rb"""<(?:\w{1,20}:)?dimension\s+ref=["'](?:[A-Z]{1,3}\d+:)?([A-Z]{1,3})\d""")
_NO_VALUE = re.compile(
    rb"<c\b([^<>]*)>\s*<f\b[^<>]*(?:/>|>[^<]*</f>)\s*(?:<v\s*/>|<v></v>)?\s*</c>"
)


def without_hidden_cells(data: bytes) -> tuple[bytes, tuple[RefusalCount, ...]]:
    """The workbook without cells in white on white; how many sheets, rows and columns are hidden.

    Rows that a filter leaves out are shown: a filter is a view of a table, and hides nothing.
    """
    found = Refusals()
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            _count_sheets(part_of(archive, "xl/workbook.xml"), found)
            white = white_styles(part_of(archive, "xl/styles.xml") or b"")
            tables = filter(_TABLE.fullmatch, archive.namelist())
            has_filter = any(_FILTER.search(part_of(archive, part) or b"") for part in tables)
            changed = {}
            for part in filter(_SHEET.fullmatch, archive.namelist()):
                content = part_of(archive, part) or b""
                shown = _shown(content, white, has_filter, found)
                if shown is not content:
                    changed[part] = shown
            left_out = tuple(found.listed())
            return repacked(archive, changed) if changed else data, left_out
    except (*BROKEN, etree.XMLSyntaxError, OSError):
        return data, ()  # its parser says what is wrong with it


def _count_sheets(workbook: bytes | None, found: Refusals) -> None:
    root = etree.fromstring(workbook, xml_parser()) if workbook else None
    states = [sheet.get("state", "") for sheet in root.iter("{*}sheet")] if root is not None else []
    if count := sum(state in ("hidden", "veryHidden") for state in states):
        found.add(".xlsx sheet", Refusal.UNSEEN, count)


def _shown(content: bytes, white: set[str], has_filter: bool, found: Refusals) -> bytes:
    """A sheet as it is read; the same object if nothing had to change."""
    if values := sum(b't="str"' not in cell for cell in _NO_VALUE.findall(content)):
        found.add(".xlsx cell", Refusal.NO_VALUE, values)
    if columns := _hidden_columns(content):
        found.add(".xlsx column", Refusal.UNSEEN, columns)
    if _HIDDEN_ROW.search(content):
        if has_filter or _FILTER.search(content):
            content = _HIDDEN_ROW.sub(rb"\1", content)
        else:
            found.add(".xlsx row", Refusal.UNSEEN, len(_HIDDEN_ROW.findall(content)))
    if white and not _GROUNDS.search(content):
        return _without_white(content, white)
    return content


def _hidden_columns(content: bytes) -> int:
    """How many of the columns that the sheet uses."""
    spans = [dict(_SPAN.findall(columns)) for columns in _HIDDEN_COLUMNS.findall(content)]
    if not spans:
        return 0
    used = _LAST.search(content)
    last = 0
    for letter in used[1] if used is not None else b"":
        last = last * 26 + letter - 64
    first_last = [(int(span.get(b"min", 1)), int(span.get(b"max", 1))) for span in spans]
    return sum(max(min(end, last) - begin + 1, 0) for begin, end in first_last)


def _without_white(content: bytes, white: set[str]) -> bytes:
    root = etree.fromstring(content, xml_parser()) if content else None
    if root is None:
        return content
    cells = [cell for cell in root.iter("{*}c") if cell.get("s") in white and len(cell)]
    for cell in cells:
        for inner in list(cell):
            cell.remove(inner)
        cell.attrib.pop("t", None)
    if not cells:
        return content
    return bytes(etree.tostring(root, xml_declaration=True, encoding="UTF-8"))
