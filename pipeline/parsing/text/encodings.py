"""Bytes to characters: the declared encoding, a byte order mark, or what the bytes allow."""

from __future__ import annotations

import codecs
import re
from contextlib import suppress

import webencodings
from charset_normalizer import from_bytes

from mplus_ray.model.errors import DocumentError
from mplus_ray.pipeline.parsing.refusals import Refusal

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark is its beginning
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# The encoding standard names supersets of what Python knows under these labels.
_SUPERSETS = {
    "shift_jis": "cp932",
    "euc-kr": "cp949",
    "gbk": "gb18030",
    "big5": "big5hkscs",
    "iso-8859-8-i": "iso-8859-8",
    "macintosh": "mac-roman",
    "windows-874": "cp874",
    "x-mac-cyrillic": "mac-cyrillic",
}
_SAMPLE = 1 << 16  # bytes by which an encoding is guessed
_ASCII_TEXT = re.compile(rb"[\t\n\r\x1b\x20-\x7e]")
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_MULTI_BYTE = frozenset("big5 big5hkscs cp932 cp949 cp950 euc_jp euc_kr gb18030 gbk".split()) | {
    "gb2312",
    "shift_jis",
    "johab",
}
# What people have saved text in; rarer ones are found where there are none, and give wrong words.
_LIKELY = (
    "cp1252 cp1250 cp1251 koi8_r cp1253 cp1254 cp1255 cp1256 cp1257 cp1258 cp874 cp866 iso8859_2 "
    "iso8859_5 iso8859_7 mac_roman cp932 euc_jp gb18030 big5 cp949"
).split()
_LATIN = frozenset("cp1250 cp1254 cp1257 cp1258 iso8859_2 mac_roman cp1252".split())
_WESTERN = frozenset("äöüßÄÖÜàâçéèêëîïôùûÀÂÇÉÈÊËÎÏÔÙÛœŒæÆáíóúñÁÍÓÚÑãõÃÕåøÅØìòÌÒýÝðþªº")
_KANA = re.compile("[\u3040-\u30ff]")
_JAPANESE = ("cp932", "euc_jp")
_ISO_2022 = (b"\x1b$B", b"\x1b$@", b"\x1b(J")
_EAST_ASIAN = re.compile("[\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7af]")
_LETTERS_LOOK = 4096  # bytes; even, so that no character is cut
_WRITING = 0.97  # of the characters, from which they are some
_SIGNS = frozenset(" \t\r\n.,;:!?-()'\"/、。「」")
_FEWEST_LETTERS = 16  # bytes beyond ASCII from which a guess is better than a refusal


def labelled(label: str) -> str | None:
    """Python's codec for a label as the encoding standard reads it; None: it has no such label."""
    known = webencodings.lookup(label)
    if known is None or known.name in ("replacement", "x-user-defined"):
        return None
    name = _SUPERSETS.get(known.name, known.name)
    try:
        return codecs.lookup(name).name
    except LookupError:
        return None


def encoding_of(start: bytes, declared: str | None) -> str | None:
    """What a byte order mark says, or UTF-16's pattern of zeros; without them what is declared."""
    for mark, encoding in _BOMS:
        if start.startswith(mark):
            return encoding
    return _unmarked_utf16(start) or declared


def decode(data: bytes, name: str, declared: str | None = None) -> str:
    """Text with `\\n` line ends.

    Without a mark and a declaration it is UTF-8, or else the encoding in which the bytes make
    words; short texts that many encodings could be are refused rather than guessed.

    Args:
        declared: a codec of Python's that the document names itself.

    Raises:
        DocumentError: the bytes are not in that encoding, are of none that can be told, or are
            no text.
    """
    encoding = encoding_of(data[:_SAMPLE], declared) or "utf-8"
    if encoding == "cp1252" and _is_utf8(data):
        encoding = "utf-8"  # what programs declare without looking
    if encoding == "utf-8" and any(escape in data[:_SAMPLE] for escape in _ISO_2022):
        encoding = "iso2022_jp"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        guessed = None if declared or encoding != "utf-8" else _guess(data)
        if guessed is None:
            raise DocumentError(
                f"{name} is not valid {encoding.upper()}: byte 0x{data[error.start]:02x} at offset "
                f"{error.start}; convert it, for instance with `iconv -f latin1 -t utf-8`",
                Refusal.ENCODING,
            ) from error
        text = guessed
    except (UnicodeError, LookupError) as error:
        raise DocumentError(
            f"{name} cannot be read as {encoding} ({error}); convert it to UTF-8", Refusal.ENCODING
        ) from error
    if "\0" in text or len(_CONTROLS.findall(text)) > len(text) // 100:
        raise DocumentError(f"{name} is binary data, not text", Refusal.NOT_TEXT)
    return unix_lines(text.removeprefix("\ufeff"))


def _is_utf8(data: bytes) -> bool:
    """Whether letters beyond ASCII make UTF-8, which no text of another encoding does by chance."""
    if data.isascii():
        return False
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def unix_lines(text: str) -> str:
    """A text has one hash, whichever system's line ends it came with."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _unmarked_utf16(start: bytes) -> str | None:
    """UTF-16 of a Latin script has a zero in nearly every second byte, on one side only."""
    if len(start) < 4:
        return None
    start = start[: len(start) & ~1]
    half = len(start) // 2
    zeros = (start[0::2].count(0), start[1::2].count(0))
    for side, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        letters = start[1 - side :: 2]
        if zeros[side] > 0.7 * half and zeros[1 - side] == 0 and _ASCII_TEXT.search(letters):
            return encoding
    return _utf16_by_letters(start) if b"\0" in start else None


def _utf16_by_letters(start: bytes) -> str | None:
    """UTF-16 of another script: read that way round nearly all of it is writing."""
    best, found = _WRITING, None
    for encoding in ("utf-16-le", "utf-16-be"):
        with suppress(UnicodeError):
            text = start[:_LETTERS_LOOK].decode(encoding)
            written = sum(letter.isalnum() or letter in _SIGNS for letter in text)
            plain = sum(letter in _SIGNS for letter in text)
            if plain and written > best * len(text):
                best, found = written / len(text), encoding
    return found


def _guess(data: bytes) -> str | None:
    """The text by the likeliest encoding; None: nothing is likely enough."""
    sample = data[:_SAMPLE]
    if b"\0" in sample or sum(byte > 0x7F for byte in sample) < _FEWEST_LETTERS:
        return None
    for encoding in (_japanese(sample), *_likeliest(sample)):
        if encoding is not None:
            with suppress(UnicodeError):
                return data.decode(encoding)
    return None


def _japanese(sample: bytes) -> str | None:
    """The one of the two encodings in which much of the text is kana, which no other text has."""
    for encoding in _JAPANESE:
        with suppress(UnicodeError):
            text = _whole(sample).decode(encoding)
            if len(_KANA.findall(text)) > len(text) // 5:
                return encoding
    return None


def _likeliest(sample: bytes) -> list[str]:
    """Encodings in which the bytes make words, the best first; Western Europe's, which most such
    files are in, before another that is no better.
    """
    found = from_bytes(sample, threshold=0.15, enable_fallback=False, cp_isolation=_LIKELY)
    likely = [each for each in found if each.coherence > 0 or _is_east_asian(sample, each.encoding)]
    if not likely:
        return []
    best = max(likely, key=lambda each: each.coherence)
    first = "cp1252" if best.encoding in _LATIN and _is_western(sample) else best.encoding
    return [first]


def _is_western(sample: bytes) -> bool:
    """Whether as Western Europe's text all its letters beyond ASCII stand inside or before words,
    and none is one that no language there has.
    """
    try:
        text = _whole(sample).decode("cp1252")
    except UnicodeError:
        return False
    letters = [letter for letter in text if letter > "\x7f" and letter.isalpha()]
    common = sum(letter in _WESTERN for letter in letters)
    return bool(letters) and common > 0.95 * len(letters)


def _whole(sample: bytes) -> bytes:
    """Without a last line that may end in the middle of a character."""
    if len(sample) < _SAMPLE:
        return sample
    return sample[: sample.rfind(b"\n") + 1] or sample


def _is_east_asian(sample: bytes, encoding: str) -> bool:
    """Whether most of the text is in a script that no language statistics are kept of."""
    if encoding not in _MULTI_BYTE:
        return False
    text = sample.decode(encoding, "ignore")
    return len(_EAST_ASIAN.findall(text)) > len(text) // 2


def table_encoding(start: bytes) -> str:
    """What a table is in by its beginning, of which the end may be cut; UTF-8 where nothing is
    likely, so that only the rows with other bytes are refused.
    """
    marked = encoding_of(start, None)
    if marked is not None:
        return marked
    whole = start[: start.rfind(b"\n") + 1] or start
    beyond = sum(byte > 0x7F for byte in whole)
    valid = sum(letter > "\x7f" for letter in whole.decode("utf-8", "ignore"))
    if beyond < _FEWEST_LETTERS or valid > beyond // 5:  # each has two bytes or more
        return "utf-8-sig"
    return _japanese(whole) or next(iter(_likeliest(whole)), "utf-8-sig")
