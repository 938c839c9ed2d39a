"""The text layer of a PDF by PDFium; its pages become sections."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c

from mplus_ray.model.errors import DocumentError
from mplus_ray.pipeline.parsing.document import ParsedDocument, Section
from mplus_ray.pipeline.parsing.formats.pdf.layout import page_text
from mplus_ray.pipeline.parsing.formats.pdf.page import Line, PageLines, read_page
from mplus_ray.pipeline.parsing.formats.pdf.running_heads import (
    without_numbers,
    without_running_heads,
)
from mplus_ray.pipeline.parsing.refusals import Refusal, RefusalCount, Refusals
from mplus_ray.pipeline.parsing.text.titles import meaningful

_UNREADABLE = 0.3  # of the letters, from which a page says nothing
_SHOWN = 100  # pages that are named
# PDFium's codes: https://pdfium.googlesource.com/pdfium/+/refs/heads/main/public/fpdfview.h
_NO_FILE, _PASSWORD = 2, 4

Ocr = Callable[[pdfium.PdfPage], str]


def parse_pdf(data: bytes, name: str, ocr: Ocr | None = None) -> ParsedDocument:
    """The pages' text in reading order, with the values of forms and notes typed on.

    Args:
        ocr: reads a page that has no text; None: such pages are left out.

    Raises:
        DocumentError: it is no PDF, is encrypted or damaged, or has no text that can be read.
    """
    if b"%PDF-" not in data[:1024]:
        raise DocumentError(
            f"{name} is not a PDF: its content does not begin with %PDF-", Refusal.MISNAMED
        )
    # A document without pages leaves the code of the failure before: this is no file of ours.
    pdfium_c.FPDF_LoadDocument(b"", None)
    try:
        document = pdfium.PdfDocument(data)
    except pdfium.PdfiumError as error:
        if error.err_code == _PASSWORD:
            raise DocumentError(
                f"{name} is encrypted; save a copy without a password", Refusal.ENCRYPTED
            ) from error
        if error.err_code == _NO_FILE:  # it is read, and there is nothing in it
            raise DocumentError(f"{name} has no pages", Refusal.EMPTY) from error
        raise DocumentError(
            f"{name} is a damaged or unsupported PDF ({error}); open it and save it again, or "
            "export its text",
            Refusal.DAMAGED,
        ) from error
    try:
        document.init_forms()
        pages = [_page(document, number) for number in range(len(document))]
        texts = _texts(document, pages, ocr)
        title = meaningful(document.get_metadata_value("Title"), name)
    finally:
        document.close()
    if not any(texts):
        raise _nothing_read(pages, name)
    left_out = _left_out(pages, texts)
    return replace(_join(texts, title or Path(name).stem), left_out=left_out)


def _page(document: pdfium.PdfDocument, number: int) -> PageLines:
    """The lines of a page; one that is damaged has none."""
    try:
        page = document[number]
    except pdfium.PdfiumError:
        return PageLines(is_damaged=True)
    try:
        return read_page(page, document.formenv)
    finally:
        page.close()


def _texts(document: pdfium.PdfDocument, pages: list[PageLines], ocr: Ocr | None) -> list[str]:
    """What each page says."""
    kept: list[list[Line]] = [page.lines for page in pages]
    texts = [
        page_text(rest or ([] if page.is_scan else without_numbers(page.lines)))
        for page, rest in zip(pages, without_running_heads(kept), strict=True)
    ]
    if ocr is not None:
        for number, text in enumerate(texts):
            if not text or _is_unreadable(pages[number]):
                page = document[number]
                texts[number] = ocr(page).strip()
                page.close()
    return texts


def _left_out(pages: list[PageLines], texts: list[str]) -> tuple[RefusalCount, ...]:
    """Pages that are not in the text although something is on them."""
    found = Refusals()
    for page, text in zip(pages, texts, strict=True):
        if text:
            continue
        if page.is_damaged:
            found.add(".pdf page", Refusal.DAMAGED)
        elif _is_unreadable(page):
            found.add(".pdf page", Refusal.GLYPHS)
        elif page.is_scan:
            found.add(".pdf page", Refusal.SCAN)
    return tuple(found.listed())


def _is_unreadable(page: PageLines) -> bool:
    return page.unmapped > _UNREADABLE * (page.unmapped + page.mapped)


def _nothing_read(pages: list[PageLines], name: str) -> DocumentError:
    if any(page.unmapped for page in pages):
        return DocumentError(
            f"{name}: its fonts do not say which characters they show, only glyph numbers; pass "
            "--ocr, or run OCR on it first",
            Refusal.GLYPHS,
        )
    if not any(page.is_drawn for page in pages):
        return DocumentError(f"{name} has no text on its {len(pages)} pages", Refusal.EMPTY)
    return DocumentError(
        f"{name} has no text on its {len(pages)} pages: a scan has no text layer; pass --ocr, or "
        "run OCR on it first",
        Refusal.SCAN,
    )


def _join(pages: list[str], title: str) -> ParsedDocument:
    texts: list[str] = []
    sections: list[Section] = []
    start = 0
    for number, text in enumerate(pages, 1):
        if text:
            sections.append(Section(f"page {number}", 1, start))
            texts.append(text)
            start += len(text) + 2
    return ParsedDocument(
        title=title,
        text="\n\n".join(texts),
        sections=tuple(sections),
        metadata=_metadata(pages),
    )


def _metadata(pages: list[str]) -> dict[str, Any]:
    """With the pages that are not in the text: nothing is left out without a word."""
    empty = [number for number, text in enumerate(pages, 1) if not text]
    return {"pages": len(pages), **({"pages_without_text": empty[:_SHOWN]} if empty else {})}
