"""What was typed into a PDF: values of form fields, and notes."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from typing import Any

import pypdfium2 as pdfium
import pypdfium2.raw as raw

_MOST_ANNOTATIONS = 10_000  # of one page
_MOST_BYTES = 1 << 20  # of one value, as UTF-16
_NOTES = (raw.FPDF_ANNOT_FREETEXT, raw.FPDF_ANNOT_TEXT)
_TYPED = (raw.FPDF_FORMFIELD_TEXTFIELD, raw.FPDF_FORMFIELD_COMBOBOX, raw.FPDF_FORMFIELD_LISTBOX)
_TICKED = (raw.FPDF_FORMFIELD_CHECKBOX, raw.FPDF_FORMFIELD_RADIOBUTTON)
_INVISIBLE = raw.FPDF_ANNOT_FLAG_HIDDEN | raw.FPDF_ANNOT_FLAG_NOVIEW
_PASSWORD = 1 << 13

Value = tuple[str, float, float, float, float]


def fields_of(page: pdfium.PdfPage, forms: Any) -> Iterator[Value]:
    """(text, left, bottom, right, top) of each, in points."""
    for place in range(min(raw.FPDFPage_GetAnnotCount(page.raw), _MOST_ANNOTATIONS)):
        annotation = raw.FPDFPage_GetAnnot(page.raw, place)
        if not annotation:
            continue
        try:
            if raw.FPDFAnnot_GetFlags(annotation) & _INVISIBLE:
                continue
            if text := " ".join(_text(annotation, forms).split()):
                box = raw.FS_RECTF()
                raw.FPDFAnnot_GetRect(annotation, ctypes.byref(box))
                yield text, box.left, box.bottom, box.right, box.top
        finally:
            raw.FPDFPage_CloseAnnot(annotation)


def _text(annotation: Any, forms: Any) -> str:
    kind = raw.FPDFAnnot_GetSubtype(annotation)
    if kind in _NOTES:
        return _string(lambda *to: raw.FPDFAnnot_GetStringValue(annotation, b"Contents", *to))
    if kind != raw.FPDF_ANNOT_WIDGET or forms is None:
        return ""
    field = raw.FPDFAnnot_GetFormFieldType(forms.raw, annotation)
    if field in _TICKED:
        return "☑" if raw.FPDFAnnot_IsChecked(forms.raw, annotation) else ""
    if field not in _TYPED or raw.FPDFAnnot_GetFormFieldFlags(forms.raw, annotation) & _PASSWORD:
        return ""
    return _string(lambda *to: raw.FPDFAnnot_GetFormFieldValue(forms.raw, annotation, *to))


def _string(read: Callable[..., int]) -> str:
    size = read(None, 0)
    if not 2 < size <= _MOST_BYTES:
        return ""
    buffer = ctypes.create_string_buffer(size)
    read(ctypes.cast(buffer, ctypes.POINTER(raw.FPDF_WCHAR)), size)
    return buffer.raw[: size - 2].decode("utf-16-le", "replace")
