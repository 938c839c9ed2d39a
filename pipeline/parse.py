"""A file's bytes to plain text, refusing what is not what its name says."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from model.errors import DocumentError
from pipeline.document import ParsedDocument
from pipeline.parse_html import parse_html
from pipeline.parse_pdf import parse_pdf
from pipeline.parse_text import parse_markdown, parse_text

MAX_BYTES = 256 * 2**20
MAX_WORD = 1_000_000  # characters; longer runs are encoded data, not something to answer from

_PARSERS: dict[str, Callable[[bytes, str], ParsedDocument]] = {
    ".txt": parse_text,
    ".text": parse_text,
    ".md": parse_markdown,
    ".markdown": parse_markdown,
    ".html": parse_html,
    ".htm": parse_html,
    ".xhtml": parse_html,
    ".pdf": parse_pdf,
}
SUFFIXES = frozenset(_PARSERS)

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
_HTML_START = re.compile(rb"\s*(<!--.*?-->\s*)*<(!doctype\s+html|html[\s>])", re.I | re.S)
# Scripts that write without spaces are broken up by their own punctuation.
_WORD_BREAKS = re.compile(r"[\s、。，．！？；：「」『』（）]+")  # noqa: RUF001


def parse_file(path: Path) -> ParsedDocument:
    """Read and parse one file.

    Raises:
        DocumentError: it cannot be read, is empty, or is not what its suffix says.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DocumentError(
                f"{path} is larger than {MAX_BYTES // 2**20} MiB; split it into parts"
            )
        data = path.read_bytes()
    except OSError as error:
        raise DocumentError(f"{path} cannot be read: {error.strerror or error}") from error
    return parse_bytes(data, str(path))


def parse_bytes(data: bytes, name: str) -> ParsedDocument:
    """Parse `data` by the suffix of `name`, after its content has confirmed that suffix."""
    suffix = Path(name).suffix.lower()
    if suffix not in _PARSERS:
        raise DocumentError(
            f"{name}: the format {suffix or '(no suffix)'} is not supported; "
            f"convert it to one of {', '.join(sorted(SUFFIXES))}"
        )
    _check_signature(data, name, suffix)
    parsed = _PARSERS[suffix](data, name)
    # A lone surrogate, as some PDFs yield, is no character and no encoder takes it.
    text = parsed.text.encode("utf-8", "replace").decode("utf-8").replace("\0", "\ufffd")
    if not text.strip():
        raise DocumentError(f"{name} holds no text, so there is nothing to memorize")
    _check_words(text, name)
    return replace(parsed, text=text, metadata={"format": suffix[1:], **parsed.metadata})


def _check_signature(data: bytes, name: str, suffix: str) -> None:
    """Refuse content that belongs to another format than the suffix names."""
    found = next((kind for magic, kind in _SIGNATURES.items() if data.startswith(magic)), None)
    if suffix != ".pdf" and data.lstrip()[:5] == b"%PDF-":
        found = "a PDF; rename it to .pdf"
    if _PARSERS[suffix] is not parse_html and _HTML_START.match(data[:4096]):
        found = "an HTML page; rename it to .html"
    if found:
        raise DocumentError(f"{name} is not a {suffix} file: by its content it is {found}")


def _check_words(text: str, name: str) -> None:
    position = 0
    for gap in _WORD_BREAKS.finditer(text):
        if gap.start() - position > MAX_WORD:
            break
        position = gap.end()
    else:
        if len(text) - position <= MAX_WORD:
            return
    line = text.count("\n", 0, position) + 1
    raise DocumentError(
        f"{name}, line {line}: more than {MAX_WORD:,} characters without a space look like "
        "encoded data, not like text; remove them or break them up"
    )
