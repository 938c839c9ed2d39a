"""A tokenizer that needs no checkpoint."""

from __future__ import annotations

import re
import zlib

_TOKEN = re.compile(r"\s?[^\W\d_]{1,6}|\d|\s+|[^\w\s]|_")


class FakeTokenizer:
    """Pieces of words of up to six letters with the space before them, as a BPE would have."""

    header_tokens = 0

    def __init__(self, chunk_tokens: int = 512) -> None:
        self.chunk_tokens = chunk_tokens
        self.longest_call = 0

    def encode(self, text: str) -> list[int]:
        return self.encode_with_offsets(text)[0]

    def encode_with_offsets(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        self.longest_call = max(self.longest_call, len(text))
        spans = [match.span() for match in _TOKEN.finditer(text)]
        return [hash_id(text[start:end]) for start, end in spans], spans


def hash_id(piece: str) -> int:
    return zlib.crc32(piece.encode()) % 65_536
