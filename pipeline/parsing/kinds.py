"""Which format a file has: by its content, and where that says nothing by its suffix."""

from __future__ import annotations

import io
import re
from pathlib import Path

import anydoc
import olefile

from mplus_ray.model.errors import DocumentError
from mplus_ray.pipeline.parsing.refusals import Refusal

_SUFFIXES = {
    "txt": "txt text log srt vtt adoc asciidoc textile",
    "md": "md markdown mdx qmd rmd",
    "rst": "rst rest",
    "org": "org",
    "tex": "tex latex ltx",
    "html": "html htm xhtml shtml",
    "xml": "xml",
    "pdf": "pdf",
    "docx": "docx docm dotx dotm",
    "doc": "doc dot",
    "pptx": "pptx pptm ppsx ppsm",
    "ppt": "ppt pps",
    "xlsx": "xlsx xlsm xlsb xls",
    "odt": "odt ott",
    "ods": "ods",
    "odp": "odp",
    "rtf": "rtf",
    "epub": "epub",
    "eml": "eml",
    "msg": "msg",
    "ipynb": "ipynb",
    "code": "py pyi js mjs jsx ts tsx java c h cc cpp hpp cs go rs rb php swift kt kts scala sh "
    "bash zsh ps1 bat sql r jl lua pl pm hs ml clj erl ex exs dart vue svelte css scss less yaml "
    "yml toml ini cfg conf properties proto graphql tf dockerfile makefile cmake gradle",
    "jsonl": "jsonl ndjson",
    "json": "json",
    "csv": "csv tsv",
    "parquet": "parquet",
    "mbox": "mbox",
    "zip": "zip",
}
KINDS = {f".{suffix}": kind for kind, all_ in _SUFFIXES.items() for suffix in all_.split()}
SUFFIXES = frozenset(KINDS)

OFFICE = frozenset(["docx", "doc", "pptx", "ppt", "xlsx", "odt", "ods", "odp", "rtf", "epub"])
MANY = frozenset(["jsonl", "json", "csv", "parquet", "mbox", "zip"])

_FOREIGN = {
    b"\x89PNG\r\n": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"GIF8": "a GIF image",
    b"II*\0": "a TIFF image",
    b"MM\0*": "a TIFF image",
    b"\x1f\x8b": "a gzip archive",
    b"7z\xbc\xaf": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"BZh": "a bzip2 archive",
    b"\xfd7zXZ": "an xz archive",
    b"\x7fELF": "a program",
    b"MZ\x90": "a program",
    b"SQLite format 3": "an SQLite database",
    b"OggS": "a sound or film",
    b"ID3": "a sound",
    b"\0\0\0\x18ftyp": "a film",
    b"\0\0\0 ftyp": "a film",
    b"RIFF": "a sound or film",
}
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_COMMENT = (b"<!--", b"-->")
_HTML = re.compile(rb"<(!doctype\s{1,20}html|html[\s>])", re.I)
_HEADER = re.compile(
    rb"(from|to|subject|date|received|return-path|delivered-to|message-id|mime-version|content-type"
    rb"|reply-to|dkim-signature|x-[\w-]{1,60}):",
    re.I,
)
_LOOK = 1 << 16  # bytes in which signs are looked for
# Of these the content may be no other kind of text: their own syntax begins like one.
_SOURCES = frozenset(["code", "xml", "tex", "eml", "mbox", "json", "jsonl", "ipynb"])


def kind_of(data: bytes, name: str) -> str:
    """The format of a file, such as `pdf`.

    Raises:
        DocumentError: it is none that is supported, or not what its suffix says.
    """
    suffix = Path(name).suffix.lower()
    named = KINDS.get(suffix)
    found = content_kind(data)
    if found == "zip" and named in OFFICE:
        return named  # its parser says what is wrong with it
    if found is not None and not (found == "html" and named in _SOURCES):
        return found
    refuse_foreign(data, name)
    if named is None:
        return _unnamed(data, name, suffix)
    if named in OFFICE and (told := _export(data, suffix)) is not None:
        return told
    if named in OFFICE or named in ("pdf", "msg", "zip", "parquet"):
        shown = "PDF" if named == "pdf" else named
        raise DocumentError(
            f"{name} is not a {shown}: its content does not begin like one; a password also makes "
            "it unreadable: save a copy without one",
            Refusal.MISNAMED,
        )
    return named


def content_kind(data: bytes) -> str | None:
    """What the first bytes say for certain; None: it may be text, or something foreign."""
    start = data[:_LOOK]
    if start.lstrip()[:5] == b"%PDF-" or b"%PDF-" in start[:1024]:
        return "pdf"
    if start.startswith(_ZIP):
        return anydoc.format_from_bytes(data) or "zip"
    if start.startswith(OLE):
        return _ole_kind(data)
    if start.lstrip()[:5] == b"{\\rtf":
        return "rtf"
    if start.startswith(b"PAR1"):
        return "parquet"
    return "html" if _HTML.match(_after_comments(start)) else None


def binary_kind(start: bytes) -> str | None:
    """What a file is by its first bytes, if it is something that is no text."""
    return next((what for magic, what in _FOREIGN.items() if start.startswith(magic)), None)


def refuse_foreign(start: bytes, name: str) -> None:
    """Refuse what its first bytes say to be something that holds no text.

    Raises:
        DocumentError: it is an image, a program, an archive of another kind, or the like.
    """
    what = binary_kind(start)
    if what is None:
        return
    suffix = Path(name).suffix.lower()
    if suffix in KINDS:
        raise DocumentError(
            f"{name} is not a {suffix} file: by its content it is {what}", Refusal.MISNAMED
        )
    raise DocumentError(
        f"{name} is {what}, a format that is not supported; hand in the text that it holds, in one "
        f"of {', '.join(sorted(SUFFIXES))}",
        Refusal.UNSUPPORTED,
    )


def _ole_kind(data: bytes) -> str | None:
    if found := anydoc.format_from_bytes(data):
        return found
    try:
        with olefile.OleFileIO(io.BytesIO(data)) as compound:
            if compound.exists("__properties_version1.0"):
                return "msg"
            if compound.exists("EncryptedPackage"):
                return "docx"  # its parser says that it is encrypted
    except (OSError, ValueError, IndexError, TypeError):
        return None
    return None


def _unnamed(data: bytes, name: str, suffix: str) -> str:
    """Of a suffix that says nothing: some texts begin in a way of their own."""
    start = data[:_LOOK].lstrip()
    if start.startswith(b"From ") and _is_mail(start):
        return "mbox"
    if _is_mail(start):
        return "eml"
    if start.startswith(b"<?xml"):
        return "xml"
    if b"\0" in data[:_LOOK] and not data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DocumentError(
            f"{name}: the format {suffix or '(no suffix)'} is not supported; "
            f"convert it to one of {', '.join(sorted(SUFFIXES))}",
            Refusal.UNSUPPORTED,
        )
    return "txt"


def _export(data: bytes, suffix: str) -> str | None:
    """What programs write that call text a workbook or a document: tables and XML."""
    start = data[:_LOOK].removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith(b"<?xml"):
        return "xml"
    line, mark, _ = start.partition(b"\n")
    table = suffix == ".xls" and mark and any(sign in line for sign in (b"\t", b",", b";"))
    return "csv" if table and b"\0" not in data[:_LOOK] else None


def _is_mail(start: bytes) -> bool:
    lines = start.split(b"\n", 12)[:12]
    heads = [line for line in lines if _HEADER.match(line)]
    names = {line.split(b":")[0].lower() for line in heads}
    return len(names) >= 3 and b"from" in names


def _after_comments(start: bytes) -> bytes:
    """What follows white space, comments and declarations at the beginning; in one pass."""
    place = 0
    while True:
        while place < len(start) and start[place : place + 1].isspace():
            place += 1
        if start.startswith(b"\xef\xbb\xbf", place):
            place += 3
        elif start.startswith(_COMMENT[0], place):
            end = start.find(_COMMENT[1], place)
            if end < 0:
                return b""
            place = end + len(_COMMENT[1])
        elif start.startswith(b"<?xml", place):
            end = start.find(b"?>", place)
            if end < 0:
                return b""
            place = end + 2
        else:
            return start[place : place + 64]
