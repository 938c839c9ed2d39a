"""What every document has to be, whatever it was read from: text, and not encoded data."""

from __future__ import annotations

import re
from dataclasses import replace

from mplus_ray.model.errors import DocumentError
from mplus_ray.pipeline.parsing.document import ParsedDocument

MAX_WORD = 1_000_000  # characters; longer runs are encoded data, not something to answer from

_SIGNATURES = {
    b"PK\x03\x04": "a ZIP archive (or a docx, xlsx, odt or epub)",
    b"\x89PNG\r\n": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"GIF8": "a GIF image",
    b"\x1f\x8b": "a gzip archive",
    b"\x7fELF": "a program",
    b"SQLite format 3": "an SQLite database",
    b"PAR1": "a Parquet file",
}
# Scripts that write without spaces are broken up by their own punctuation.
_BREAKS = r"\s、。，．！？；：「」『』（）"  # noqa: RUF001
# Tried only where a word begins, so the time is linear in the text.
_LONG_WORD = re.compile(rf"(?<![^{_BREAKS}])[^{_BREAKS}]{{{MAX_WORD + 1}}}")


def foreign(start: bytes) -> str | None:
    """What a file is by its first bytes, if it is something that is no text."""
    return next((kind for magic, kind in _SIGNATURES.items() if start.startswith(magic)), None)


def checked(parsed: ParsedDocument, name: str, kind: str) -> ParsedDocument:
    """The document with text that can be stored, and its format in the metadata.

    Args:
        kind: the format, such as "txt".

    Raises:
        DocumentError: there is no text, or it is encoded data.
    """
    # A lone surrogate, as some PDFs yield, is no character and no encoder takes it.
    text = parsed.text.encode("utf-8", "replace").decode("utf-8").replace("\0", "\ufffd")
    if not text.strip():
        raise DocumentError(f"{name} holds no text, so there is nothing to memorize")
    _check_words(text, name)
    return replace(parsed, text=text, metadata={"format": kind, **parsed.metadata})


def _check_words(text: str, name: str) -> None:
    if found := _LONG_WORD.search(text):
        line = text.count("\n", 0, found.start()) + 1
        raise DocumentError(
            f"{name}, line {line}: more than {MAX_WORD:,} characters without a space look like "
            "encoded data, not like text; remove them or break them up"
        )
