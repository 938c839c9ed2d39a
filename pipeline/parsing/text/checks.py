"""What every document has to be, whatever it was read from: text, and not encoded data."""

from __future__ import annotations

import re
from dataclasses import replace

from mplus_ray.model.errors import DocumentError
from mplus_ray.pipeline.parsing.document import ParsedDocument
from mplus_ray.pipeline.parsing.document_id import storable
from mplus_ray.pipeline.parsing.refusals import Refusal

MAX_WORD = 1_000_000  # characters; longer runs are encoded data, not something to answer from
_FREE = 1_000_000  # characters that a file of any size may give
_AMPLIFICATION = 100  # characters for each byte of a file beyond that

# Scripts that write without spaces are broken up by their own punctuation.
_BREAKS = r"\s、。，．！？；：「」『』（）"  # noqa: RUF001
# Tried only where a word begins, so the time is linear in the text.
_LONG_WORD = re.compile(rf"(?<![^{_BREAKS}])[^{_BREAKS}]{{{MAX_WORD + 1}}}")
_LETTERS = re.compile(r"[^\W\d_]")
# What no writing has: controls, private use, unassigned marks that stand for lost bytes.
_STRANGE = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f-\x84\x86-\x9f\ufffd\ufffe\uffff\ue000-\uf8ff]")
# What the second and later bytes of UTF-8 are in a Latin encoding, and in Cyrillic ones.
_LATIN_REST = "\x80-\xbf€‚ƒ„…†‡ˆ‰Š‹Œ‘’“”•–—˜™š›œžŸ"  # noqa: RUF001
_CYRILLIC_REST = "\xa0-\xbfЂЃѓЉЊЌЋЏђљњќћџЎўЈҐЁЄЇІіґёєјЅѕї€‚„…†‡‰‹‘’“”•–—™›№"  # noqa: RUF001
# UTF-8 that was read as one of them, and written out again.
_MOJIBAKE = re.compile(
    f"[ÃÂÄÅÎÏÐÑ][{_LATIN_REST}]|[à-ï][{_LATIN_REST}]{{2}}|[РС][{_CYRILLIC_REST}]"  # noqa: RUF001
)
_MARKS = re.compile("[À-ïРС]")
_ACCENTED = re.compile("[À-ÿ]")
_MOST_ACCENTED = 0.5  # of the letters; Cyrillic that was read as a Latin encoding has no others
_FEWEST = 20  # letters from which that says something
_MOST_STRANGE = 0.1  # of the letters and strange signs
_MOST_MOJIBAKE = 0.05  # likewise
# Letters that no font shows and a language model reads: a way to plant instructions.
_TAGS = re.compile("[\U000e0000-\U000e007f]+")
_SAMPLE = 1 << 20  # characters that are looked at


def checked(
    parsed: ParsedDocument, name: str, kind: str, size: int | None = None
) -> ParsedDocument:
    """The document with text that can be stored, and its format in the metadata.

    Args:
        kind: the format, such as "txt".
        size: bytes that it was read from; None: of a part of a file.

    Raises:
        DocumentError: there is no text, it is encoded data or no writing, or it is out of all
            proportion to the file.
    """
    text = _TAGS.sub("", storable(parsed.text))
    if not text.strip():
        raise DocumentError(f"{name} holds no text, so there is nothing to memorize", Refusal.EMPTY)
    if size is not None and len(text) > _FREE + _AMPLIFICATION * size:
        raise DocumentError(
            f"{name}: {size:,} bytes give {len(text):,} characters; no more than {_AMPLIFICATION} "
            f"for each byte are taken after the first {_FREE:,}",
            Refusal.TOO_LARGE,
        )
    _check_words(text, name)
    _check_writing(text[:_SAMPLE], name)
    title = storable(parsed.title)
    return replace(parsed, title=title, text=text, metadata={"format": kind, **parsed.metadata})


def _check_words(text: str, name: str) -> None:
    if found := _LONG_WORD.search(text):
        line = text.count("\n", 0, found.start()) + 1
        raise DocumentError(
            f"{name}, line {line}: more than {MAX_WORD:,} characters without a space look like "
            "encoded data, not like text; remove them or break them up",
            Refusal.NOT_TEXT,
        )


def _check_writing(text: str, name: str) -> None:
    """Better no document than a wrong one."""
    strange = len(_STRANGE.findall(text))
    if not strange and (text.isascii() or not _MARKS.search(text)):
        return
    letters = len(_LETTERS.findall(text))
    if strange > _MOST_STRANGE * (letters + strange):
        raise DocumentError(
            f"{name}: {strange:,} of its characters are no writing, such as controls and glyphs of "
            "a font of its own; export its text again, or run OCR",
            Refusal.NOT_TEXT,
        )
    garbled = len(_MOJIBAKE.findall(text))
    accented = len(_ACCENTED.findall(text))
    if garbled > _MOST_MOJIBAKE * letters or (
        letters >= _FEWEST and accented > _MOST_ACCENTED * letters
    ):
        raise DocumentError(
            f"{name}: its text was decoded wrongly before it was saved (such as Ã¤ for ä); save it "
            "again from where it came from",
            Refusal.NOT_TEXT,
        )
