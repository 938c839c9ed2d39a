"""RTF without hidden, deleted and tiny text or white letters; raised digits as such."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mplus_ray.pipeline.parsing.formats.hidden.colours import WHITE, Colour, alike
from mplus_ray.pipeline.parsing.text.builder import subscript, superscript

_SMALLEST = 1.5  # points: nobody reads what is smaller
_SIGNS = re.compile(rb"\\(super|sub|up\d|dn\d|v(?![a-z])|deleted(?![a-z])|fs[0-3](?!\d)|red25\d)")
_TOKEN = re.compile(
    rb"\\bin(\d{1,10}) ?|\\([a-z]+)(-?\d{1,10})? ?|\\'[0-9a-f]{2}|\\[^a-z]|[{}]|[^\\{}]+",
    re.I | re.S,
)
_COLOURS = re.compile(rb"\{\\colortbl\s?([^{}]{0,65536})\}")
_PART = re.compile(rb"\\(red|green|blue)(\d{1,3})")
# Cells, shapes and backgrounds that may be dark behind any text.
_GROUNDS = re.compile(
    rb"\\(clcbpat|clshdng|trcbpat|trshdng|rawclcbpat|shp|do|background|ts)(?![a-z])"
)
_UNDER_LETTERS = frozenset(["highlight", "cb", "chcbpat", "chshdng", "chbgfdiag"])
_UNDER_PARAGRAPHS = frozenset(["cbpat", "shading"])
_TABLES = frozenset(["stylesheet", "fonttbl", "colortbl", "info", "listtable"])  # no text

_SHIFTS = {"super": superscript, "sub": subscript}
_NAMES = {"super": "super", "up": "super", "sub": "sub", "dn": "sub"}

State = frozenset[str]  # why text is hidden at this place, and what may stand behind it
_PLAIN: State = frozenset()


def without_hidden_rtf(data: bytes) -> bytes:
    """The file without text that is hidden, deleted, too small to be read, or white on white, with
    raised and lowered letters as such.

    Cells and shapes may be dark: in a file that has shaded ones, white text stays.
    """
    if not _SIGNS.search(data):
        return data
    colours = [] if _GROUNDS.search(data) else _colours(data)
    return b"".join(_Shown(colours).tokens(data))


def _colours(data: bytes) -> list[Colour | None]:
    """By number; None: whatever the reader's program takes."""
    found = _COLOURS.search(data)
    if found is None:
        return []
    return [_colour(entry) for entry in found[1].split(b";")]


def _colour(entry: bytes) -> Colour | None:
    parts = {name: int(value) for name, value in _PART.findall(entry)}
    if len(parts) < 3:
        return None
    return parts[b"red"], parts[b"green"], parts[b"blue"]


class _Shown:
    """Reads tokens; a group takes its formatting with it when it ends."""

    def __init__(self, colours: list[Colour | None]) -> None:
        self._white = {
            number for number, colour in enumerate(colours) if colour and alike(colour, WHITE)
        }
        self._state = _PLAIN
        self._stack: list[State] = []

    def tokens(self, data: bytes) -> Iterator[bytes]:
        place = 0
        while place < len(data):
            found = _TOKEN.match(data, place)
            if found is None:  # a backslash at the end
                return
            token, place = found[0], found.end()
            if found[1] is not None:  # bytes that are no text
                end = place + int(found[1])
                yield token + data[place:end]
                place = end
                continue
            word = (found[2] or b"").decode("ascii").lower()
            self._follow(token, word, found[3])
            is_text = not word and token not in (b"{", b"}") and token[:2] != b"\\*"
            if not (_is_hidden(self._state) and (is_text or word == "u")):
                yield self._shifted(token) if is_text else token

    def _shifted(self, token: bytes) -> bytes:
        """Raised or lowered letters as such, where they are of ASCII."""
        shift = _SHIFTS.get(next(iter(self._state & _SHIFTS.keys()), ""))
        if shift is None or "table" in self._state or token[:1] == b"\\" or not token.isascii():
            return token
        letters = "".join(
            letter if letter.isascii() else f"\\u{ord(letter)}?" for letter in shift(token.decode())
        )
        return b"{\\uc1 " + letters.encode() + b"}"

    def _follow(self, token: bytes, word: str, number: bytes | None) -> None:
        if token == b"{":
            self._stack.append(self._state)
        elif token == b"}":
            self._state = self._stack.pop() if self._stack else _PLAIN
        elif token[:2] == b"\\*" or word in _TABLES:
            self._state |= {"table"}
        elif word:
            self._state = self._formatted(word, number)

    def _formatted(self, word: str, number: bytes | None) -> State:
        state = self._state
        value = int(number) if number is not None else None
        if word == "plain":
            return state & {"table", "paragraph"}
        if word == "pard":
            return state - {"paragraph"}
        if word in ("v", "deleted"):
            return _set(state, word, value != 0)
        if word in ("super", "sub", "nosupersub", "up", "dn"):
            name = _NAMES.get(word)
            return (state - _SHIFTS.keys()) | ({name} if name and value != 0 else set())
        if word == "fs" and value is not None:
            return _set(state, word, value <= 2 * _SMALLEST)
        if word == "cf":
            return _set(state, "white", value in self._white)
        if word in _UNDER_LETTERS:
            return _set(state, "letters", bool(value) and value not in self._white)
        if word in _UNDER_PARAGRAPHS:
            return _set(state, "paragraph", bool(value) and value not in self._white)
        return state


def _set(state: State, name: str, is_on: bool) -> State:
    return state | {name} if is_on else state - {name}


def _is_hidden(state: State) -> bool:
    if "table" in state:
        return False
    if state & {"v", "deleted", "fs"}:
        return True
    return "white" in state and not state & {"letters", "paragraph"}
