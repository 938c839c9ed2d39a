"""The text layer of a PDF; its pages become sections."""

from __future__ import annotations

import io
import logging
from pathlib import Path

from pypdf import PdfReader

from mplus_ray.model.errors import DocumentError
from mplus_ray.pipeline.parsing.document import ParsedDocument, Section

# Its warnings name neither the file nor anything a person could do.
logging.getLogger("pypdf").setLevel(logging.ERROR)


def parse_pdf(data: bytes, name: str) -> ParsedDocument:
    """The pages' text in order, joined by blank lines."""
    if b"%PDF-" not in data[:1024]:
        raise DocumentError(f"{name} is not a PDF: its content does not begin with %PDF-")
    try:
        reader = PdfReader(io.BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(""):
            raise DocumentError(f"{name} is encrypted; save a copy without a password")
        pages = [page.extract_text() for page in reader.pages]
        title = (reader.metadata.title if reader.metadata else None) or Path(name).stem
    except DocumentError:
        raise
    except Exception as error:  # a broken PDF fails inside pypdf in any way it likes
        raise DocumentError(
            f"{name} is a damaged or unsupported PDF ({type(error).__name__}: {error}); "
            "open it and save it again, or export its text"
        ) from error
    if not any(page.strip() for page in pages):
        raise DocumentError(
            f"{name} has no text on its {len(pages)} pages; if it is a scan, run OCR on it first"
        )
    return _join(pages, str(title))


def _join(pages: list[str], title: str) -> ParsedDocument:
    texts: list[str] = []
    sections: list[Section] = []
    start = 0
    for number, page in enumerate(pages, 1):
        if text := page.strip():
            sections.append(Section(f"page {number}", 1, start))
            texts.append(text)
            start += len(text) + 2
    return ParsedDocument(
        title=title,
        text="\n\n".join(texts),
        sections=tuple(sections),
        metadata={"pages": len(pages)},
    )
