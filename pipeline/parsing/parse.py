"""A file's bytes to plain text, refusing what is not what its name says."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from mplus_ray.model.errors import DocumentError
from mplus_ray.pipeline.parsing.checks import checked, foreign
from mplus_ray.pipeline.parsing.document import ParsedDocument
from mplus_ray.pipeline.parsing.docx import parse_docx
from mplus_ray.pipeline.parsing.html import parse_html
from mplus_ray.pipeline.parsing.multi_document import MANY
from mplus_ray.pipeline.parsing.pdf import parse_pdf
from mplus_ray.pipeline.parsing.text import parse_markdown, parse_text

MAX_BYTES = 256 * 2**20

_PARSERS: dict[str, Callable[[bytes, str], ParsedDocument]] = {
    ".txt": parse_text,
    ".text": parse_text,
    ".md": parse_markdown,
    ".markdown": parse_markdown,
    ".html": parse_html,
    ".htm": parse_html,
    ".xhtml": parse_html,
    ".pdf": parse_pdf,
    ".docx": parse_docx,
}
SUFFIXES = frozenset(_PARSERS) | MANY

_HTML_START = re.compile(rb"\s*(<!--.*?-->\s*)*<(!doctype\s+html|html[\s>])", re.I | re.S)


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
    if suffix in MANY:
        raise DocumentError(f"{name} holds many documents; take it in as a source of its own")
    if suffix not in _PARSERS:
        raise DocumentError(
            f"{name}: the format {suffix or '(no suffix)'} is not supported; "
            f"convert it to one of {', '.join(sorted(SUFFIXES))}"
        )
    _check_signature(data, name, suffix)
    parsed = _PARSERS[suffix](data, name)
    return checked(parsed, name, suffix[1:])


def _check_signature(data: bytes, name: str, suffix: str) -> None:
    """Refuse content that belongs to another format than the suffix names."""
    if suffix == ".docx":
        return  # its parser says what it is instead
    found = foreign(data)
    if suffix != ".pdf" and data.lstrip()[:5] == b"%PDF-":
        found = "a PDF; rename it to .pdf"
    if _PARSERS[suffix] is not parse_html and _HTML_START.match(data[:4096]):
        found = "an HTML page; rename it to .html"
    if found:
        raise DocumentError(f"{name} is not a {suffix} file: by its content it is {found}")
