"""Office files and e-books by the anydoc library, whose blocks become text with sections."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import anydoc

from mplus_ray.model.errors import DocumentError
from mplus_ray.pipeline.parsing.document import ParsedDocument
from mplus_ray.pipeline.parsing.formats.cell_comments import cell_comments
from mplus_ray.pipeline.parsing.formats.docx import legible
from mplus_ray.pipeline.parsing.formats.hidden.book import shown_pages
from mplus_ray.pipeline.parsing.formats.hidden.open_document import without_hidden_odf
from mplus_ray.pipeline.parsing.formats.hidden.rtf import without_hidden_rtf
from mplus_ray.pipeline.parsing.formats.hidden.slides import without_hidden_slides
from mplus_ray.pipeline.parsing.formats.hidden.workbook import without_hidden_cells
from mplus_ray.pipeline.parsing.formats.office_title import declared_title
from mplus_ray.pipeline.parsing.kinds import OLE
from mplus_ray.pipeline.parsing.packages import check_package
from mplus_ray.pipeline.parsing.refusals import Refusal, RefusalCount
from mplus_ray.pipeline.parsing.text.builder import TextBuilder, one_line
from mplus_ray.pipeline.parsing.text.sentences import row_sentence

# Formats by the library's names; those of one kind share it.
_PACKAGES = frozenset(["docx", "pptx", "xlsx", "odt", "ods", "odp", "epub"])
_OPEN = frozenset(["odt", "ods", "odp"])
_SHEETS = frozenset(["xlsx", "ods"])  # also of the binary formats before them
# Characters of a cell over many rows that each of them tells: in a sheet, and in a document.
_MOST_REPEATED, _MOST_LABEL = 200, 40
_MOST_INLINE = 500  # characters of a cell beyond which a table is layout


def parse_office(data: bytes, name: str, kind: str) -> ParsedDocument:
    """Text of a document, a presentation, a workbook or a book; no network, no macros.

    A row of a sheet whose first row names its columns becomes `name: value; …`; other tables keep
    their cells, parted by `|`. Notes stand behind the paragraph that refers to them.

    Args:
        kind: the format as anydoc names it, such as `docx`.

    Raises:
        DocumentError: it is encrypted, damaged, or larger unpacked than may be.
    """
    packed = not data.startswith(OLE)  # else it is of the binary formats, or encrypted
    if packed and kind in _PACKAGES:
        check_package(data, name, kind)
    source, left_out = _legible(data, name, kind) if packed else (data, ())
    try:
        document = anydoc.to_document(source, cast(Any, kind))
    except anydoc.EncryptedError as error:
        raise DocumentError(
            f"{name} is encrypted; save a copy without a password", Refusal.ENCRYPTED
        ) from error
    except anydoc.ConvertError as error:
        raise DocumentError(
            f"{name} is a damaged or unsupported {kind} ({error}); open it and save it again, or "
            "export its text",
            Refusal.DAMAGED,
        ) from error
    reader = _Reader(document, sheets=kind in _SHEETS)
    text, sections = reader.read(cell_comments(data) if packed and kind == "xlsx" else [])
    title = declared_title(data, kind, name) or (sections[0].title if sections else None)
    return ParsedDocument(title or Path(name).stem, text, sections, left_out=left_out)


def _legible(data: bytes, name: str, kind: str) -> tuple[bytes, tuple[RefusalCount, ...]]:
    """The file without what nobody sees, and which parts of it that were."""
    if kind in _OPEN:
        return without_hidden_odf(data)
    if kind == "pptx":
        return without_hidden_slides(data)
    if kind == "xlsx":
        return without_hidden_cells(data)
    if kind == "epub":
        return shown_pages(data, name), ()
    if kind == "docx":
        return legible(data, name), ()
    return without_hidden_rtf(data) if kind == "rtf" else data, ()


class _Reader:
    """Blocks of one document in order."""

    def __init__(self, document: anydoc.Document, sheets: bool) -> None:
        self._document = document
        self._sheets = sheets
        self._notes = {note.id: note for note in document.notes}
        self._numbers = {note.id: place for place, note in enumerate(document.notes, 1)}
        self._cited: list[str] = []  # notes of the block at hand
        self._builder = TextBuilder()

    def read(self, comments: list[str]) -> tuple[str, Any]:
        self._blocks(self._document.blocks)
        self._tell_notes(list(self._notes))  # that nothing refers to
        for comment in comments:
            self._builder.paragraph(comment)
        return self._builder.finish()

    def _blocks(self, blocks: list[anydoc.Block]) -> None:
        for block in blocks:
            self._block(block)
            cited, self._cited = self._cited, []
            self._tell_notes(cited)

    def _block(self, block: anydoc.Block) -> None:
        if block.kind == "heading":
            self._builder.heading(self._inline(block.content), block.level or 1)
        elif block.kind == "paragraph":
            self._builder.paragraph(self._inline(block.content))
        elif block.kind == "list" and block.list is not None:
            self._list(block.list, 0)
        elif block.kind == "table" and block.table is not None:
            self._table(block.table)
        elif block.kind == "block_quote":
            self._blocks(block.blocks or [])
        elif block.kind in ("code_block", "math"):
            self._builder.verbatim(block.text or "")

    def _list(self, items: anydoc.List, depth: int) -> None:
        for number, item in enumerate(items.items, items.start):
            first = True
            for block in item.blocks:
                if first and block.kind == "paragraph":
                    marker = item.marker_label or _marker(items.marker, number)
                    self._builder.item(self._inline(block.content), marker, depth)
                    first = False
                elif block.kind == "list" and block.list is not None:
                    self._list(block.list, depth + 1)
                else:
                    self._block(block)

    def _table(self, table: anydoc.Table) -> None:
        if not self._sheets and self._is_layout(table):
            for cell in _cells(table):
                self._blocks(cell.blocks)
            return
        rows = [[self._slot(slot) for slot in row] for row in table.grid]
        _repeat_merged(table, rows, _MOST_REPEATED if self._sheets else _MOST_LABEL)
        if self._sheets and table.header_rows == 1 and len(rows) > 1:
            header = [one_line(cell) for cell in rows[0]]
            lines = [row_sentence(header, row) for row in rows[1:]]
            self._builder.paragraph("\n".join(lines))
        else:
            self._builder.table(rows)

    def _slot(self, slot: anydoc.CellSlot) -> str:
        if slot.cell is None:  # covered by the cell before or above it
            return ""
        return " ".join(self._flat(block) for block in slot.cell.blocks)

    def _is_layout(self, table: anydoc.Table) -> bool:
        """Whether its cells hold blocks that no line can."""
        if table.kind == "layout":
            return True
        for cell in _cells(table):
            if any(block.kind in ("table", "heading", "code_block") for block in cell.blocks):
                return True
            if len(cell.blocks) > 1 and sum(map(_size, cell.blocks)) > _MOST_INLINE:
                return True
        return False

    def _flat(self, block: anydoc.Block) -> str:
        """A block inside a cell, as part of one line."""
        if block.content is not None:
            return self._inline(block.content)
        if block.list is not None:
            parts = [inner for item in block.list.items for inner in item.blocks]
            return " ".join(map(self._flat, parts))
        return " ".join(map(self._flat, block.blocks)) if block.blocks else block.text or ""

    def _inline(self, content: list[anydoc.Inline] | None) -> str:
        return "".join(map(self._piece, content or []))

    def _piece(self, piece: anydoc.Inline) -> str:
        if piece.kind in ("text", "math"):
            return piece.text or ""
        if piece.kind == "link":
            return self._inline(piece.content)
        if piece.kind == "image":
            return f" {piece.alt} " if piece.alt else ""
        if piece.kind == "line_break":
            return "\n"
        if piece.kind == "checkbox":
            return "☑" if piece.checked else "☐"
        if piece.kind == "note_ref" and piece.note_id in self._numbers:
            self._cited.append(piece.note_id)
            return f"[{self._numbers[piece.note_id]}]"
        return ""

    def _tell_notes(self, cited: list[str]) -> None:
        for identity in cited:
            if (note := self._notes.pop(identity, None)) is not None:
                body = " ".join(map(self._flat, note.blocks))
                self._builder.paragraph(f"[{self._numbers[identity]}] {body}")


def _repeat_merged(table: anydoc.Table, rows: list[list[str]], most: int) -> None:
    """Say the value of a cell that spans rows in each of them, so that every row tells it."""
    for number, row in enumerate(table.grid):
        for column, slot in enumerate(row):
            above, left = slot.origin_row, slot.origin_col
            if slot.kind == "covered" and left == column and above is not None and above < number:
                text = rows[above][column]
                rows[number][column] = text if len(text) <= most else ""


def _cells(table: anydoc.Table) -> Iterator[anydoc.Cell]:
    return (slot.cell for row in table.grid for slot in row if slot.cell is not None)


def _size(block: anydoc.Block) -> int:
    return sum(len(piece.text or "") for piece in block.content or [])


def _marker(kind: str, number: int) -> str:
    if kind == "bullet":
        return ""
    if kind in ("lower_alpha", "upper_alpha"):
        letter = _alphabetic(number)
        return f"{letter if kind == 'lower_alpha' else letter.upper()}."
    if kind in ("lower_roman", "upper_roman"):
        roman = _roman(number)
        return f"{roman if kind == 'lower_roman' else roman.upper()}."
    return f"{number}."


def _alphabetic(number: int) -> str:
    letters = ""
    while number > 0:
        number, place = divmod(number - 1, 26)
        letters = chr(ord("a") + place) + letters
    return letters or "0"


def _roman(number: int) -> str:
    if not 0 < number < 4000:
        return str(number)
    values = (1000, 900, 500, 400, 100, 90, 50, 40, 10, 9, 5, 4, 1)
    signs = ("m", "cm", "d", "cd", "c", "xc", "l", "xl", "x", "ix", "v", "iv", "i")
    text = ""
    for value, sign in zip(values, signs, strict=True):
        count, number = divmod(number, value)
        text += sign * count
    return text
