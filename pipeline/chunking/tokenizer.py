"""What chunking needs of a model's tokenizer."""

from __future__ import annotations

from typing import Protocol


class Tokenizer(Protocol):
    """Text to token ids, and what the model takes of them.

    Attributes:
        chunk_tokens: the longest chunk that the model takes.
        header_tokens: of these, how many may say where a chunk stands; see
            `pipeline.chunking.headers`.
    """

    chunk_tokens: int
    header_tokens: int

    def encode(self, text: str) -> list[int]: ...

    def encode_with_offsets(self, text: str) -> tuple[list[int], list[tuple[int, int]]]: ...
