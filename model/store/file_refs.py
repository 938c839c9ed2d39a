"""What a ledger keeps of the files of a memory: names, checksums and places, without torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Shard:
    """An immutable file with the rows of consecutive steps.

    Attributes:
        file: its name in the store.
        checksum: of the whole file.
        first_step, steps: which steps' blocks it holds.
        nbytes: size of the file.
        layout: byte offsets of layer 0's rows and keys, and the distance from layer to layer; of
            steps of different lengths also the offset of the rows' token ids, and each length.
    """

    file: str
    checksum: str
    first_step: int
    steps: int
    nbytes: int
    layout: tuple[int, ...]

    @property
    def end(self) -> int:
        """One past its last step."""
        return self.first_step + self.steps

    @property
    def lengths(self) -> tuple[int, ...] | None:
        """Rows of each step in every layer; None where every step has K."""
        return self.layout[4 : 4 + self.steps] or None


@dataclass(frozen=True)
class State:
    """An immutable file with what a writer needs to go on after `step` chunks.

    Attributes:
        history: hash chain of the chunks up to there, in hex.
        file: its name in the store.
        checksum: of its bytes, in hex.
        step: steps up to which it stands.
        nbytes: its size.
    """

    file: str
    checksum: str
    step: int
    nbytes: int
    history: str
