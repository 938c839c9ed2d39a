"""Small stand-ins with the seams of the real model: what they compute is a hash, not an answer."""

from __future__ import annotations

import hashlib
import json
import re
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from model.errors import FingerprintMismatchError

_TOKEN = re.compile(r"\s?[^\W\d_]{1,6}|\d|\s+|[^\w\s]|_")


class FakeTokenizer:
    """Pieces of words of up to six letters with the space before them, as a BPE would have."""

    def __init__(self) -> None:
        self.longest_call = 0

    def encode(self, text: str) -> list[int]:
        return self.encode_with_offsets(text)[0]

    def encode_with_offsets(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        self.longest_call = max(self.longest_call, len(text))
        spans = [match.span() for match in _TOKEN.finditer(text)]
        return [hash_id(text[start:end]) for start, end in spans], spans


def hash_id(piece: str) -> int:
    return zlib.crc32(piece.encode()) % 65_536


@dataclass(frozen=True)
class FakeMemory:
    """A hash over everything memorized, in order: equal histories have equal digests."""

    fingerprint: str
    digest: str
    step: int


class FakeModel:
    """Memorizes by hashing."""

    def __init__(self, fingerprint: str = "fake-weights") -> None:
        self.fingerprint = fingerprint
        self.tokenizer = FakeTokenizer()
        self.batches: list[int] = []

    def empty_memory(self, seed: int) -> FakeMemory:
        return FakeMemory(self.fingerprint, f"seed {seed}", 0)

    def memorize_chunks(
        self, memories: Sequence[FakeMemory], chunks: Sequence[Sequence[int]]
    ) -> list[FakeMemory]:
        self.batches.append(len(chunks))
        return [
            FakeMemory(
                self.fingerprint,
                hashlib.sha256(f"{memory.digest} {list(chunk)}".encode()).hexdigest(),
                memory.step + 1,
            )
            for memory, chunk in zip(memories, chunks, strict=True)
        ]

    def save(self, memory: FakeMemory, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "memory.json").write_text(json.dumps(asdict(memory)))

    def restore(self, folder: Path) -> FakeMemory:
        memory = FakeMemory(**json.loads((folder / "memory.json").read_text()))
        if memory.fingerprint != self.fingerprint:
            raise FingerprintMismatchError(f"{folder} was made with other weights")
        return memory
