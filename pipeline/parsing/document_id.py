"""Names of files as ids, and text as a database takes it."""

from __future__ import annotations

import hashlib

from mplus_ray.pipeline.parsing.limits import MAX_KEY


def storable(text: str) -> str:
    """Without what no database takes: lone surrogates, as some PDFs yield, and NUL."""
    if text.isascii() and "\0" not in text:
        return text
    whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return whole.replace("\0", "\ufffd")


def id_of_name(name: str) -> str:
    """A file's name as an id.

    Names that differ give different ids: one that is too long for an index, or is not valid
    UTF-8, ends in the hash of its bytes.
    """
    raw = name.encode("utf-8", "surrogateescape" if _is_path_bytes(name) else "surrogatepass")
    clean = "".join(letter if letter.isprintable() else "\ufffd" for letter in storable(name))
    if clean == name and len(raw) <= MAX_KEY:
        return clean
    kept = clean.encode()[: MAX_KEY - 100].decode("utf-8", "ignore")
    return f"{kept}…{hashlib.sha256(raw).hexdigest()}"


def _is_path_bytes(name: str) -> bool:
    """Whether its surrogates are the bytes of a path that is not UTF-8."""
    return all(
        not 0xD800 <= ord(letter) <= 0xDFFF or 0xDC80 <= ord(letter) <= 0xDCFF for letter in name
    )
