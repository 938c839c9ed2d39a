"""A tenant's memory as a value, and one step of it.

Everything here is a function of (weights, seed, chunks): memorizing returns a new memory and
leaves the old one as it was.

Legend: L layers, K rows a block, d hidden size.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from model.config import ModelConfig
from model.drops import drop_positions
from model.encode import encode_rows
from model.errors import InvalidInputError
from model.membership import Ids, Membership
from model.network import Network
from model.store import RowBlock, RowStore
from model.write import write


@dataclass(frozen=True)
class Memory:
    """What one tenant remembers.

    Attributes:
        seed: decides which rows each step drops.
        fingerprint: of the weights that made the rows.
        membership: which rows are where.
        last_block: hidden rows [L, K, d] of the newest step, all that writing needs of the past;
            None before the first step of a memory without genesis.
        store: the rows; it may already hold those of later memories of the same history.
    """

    seed: int
    fingerprint: str
    membership: Membership
    last_block: Tensor | None
    store: RowStore

    @property
    def step(self) -> int:
        """Chunks memorized so far."""
        return self.membership.step

    @property
    def history(self) -> bytes:
        """Names the log that made this memory: a hash chain over its chunks; empty at step 0."""
        return self.store.history[self.step - 1] if self.step else b""

    def save(self, folder: Path) -> None:
        """Save to a folder, adding to what an earlier save of this history left there."""
        from model.folder import save_memory  # which imports this module

        save_memory(self, folder)

    def append(
        self,
        chunk: Sequence[int],
        hidden: Tensor,
        rows: RowBlock,
        positions: Ids | None = None,
    ) -> Memory:
        """The memory one step later.

        Args:
            chunk: the step's token ids.
            hidden: its hidden rows [L, K, d].
            rows: the same rows as they are stored.
            positions: pool positions to drop [L, m]; by default the seed's own draw.
        """
        config = self.store.config
        if positions is None:
            positions = drop_positions(
                self.seed,
                self.step,
                config.num_hidden_layers,
                self.membership.pool.shape[1],
                self.membership.leaving(config),
                config.drop_memory_per_layer,
            )
        # Rows are only ever added at the end; a second future of the same past gets its own end.
        store = self.store if self.store.steps == self.step else self.store.prefix(self.step)
        store.append(rows, _link(self.history, chunk))
        membership = self.membership.advance(config, positions)
        return Memory(self.seed, self.fingerprint, membership, hidden, store)


def memorize(
    writer: Network,
    reader: Network,
    memories: Sequence[Memory],
    chunks: Sequence[Sequence[int]],
    positions: Sequence[Ids | None] | None = None,
) -> list[Memory]:
    """One step for each of B different tenants in one forward pass.

    Args:
        writer, reader: the networks of the two roles, which may be one object.
        memories: one of each tenant; a tenant's chunks need one call after the other.
        chunks: token ids of each, 1 … `chunk_tokens`.
        positions: pool positions to drop, for replaying a trace.

    Raises:
        InvalidInputError: a chunk is empty, too long or has an id outside the vocabulary.
    """
    if not memories:
        return []
    check_chunks(writer.config, chunks)
    dropped = positions if positions is not None else [None] * len(memories)
    with torch.no_grad():
        ids = [torch.tensor(list(chunk), device=writer.device) for chunk in chunks]
        hidden = write(writer, ids, [memory.last_block for memory in memories])
        rows = encode_rows(reader, hidden)
        return [
            memory.append(chunk, block.clone(), row.to(memory.store.dtype), drop)
            for memory, chunk, block, row, drop in zip(
                memories, chunks, hidden, rows, dropped, strict=True
            )
        ]


def _link(history: bytes, chunk: Sequence[int]) -> bytes:
    ids = np.asarray(chunk, dtype="<i8").tobytes()
    return hashlib.blake2b(history + ids, digest_size=16).digest()


def check_chunks(config: ModelConfig, chunks: Sequence[Sequence[int]]) -> None:
    for chunk in chunks:
        if not 1 <= len(chunk) <= config.chunk_tokens:
            raise InvalidInputError(
                f"a chunk has {len(chunk)} tokens; a step takes 1 to {config.chunk_tokens}"
            )
        if min(chunk) < 0 or max(chunk) >= config.vocab_size:
            raise InvalidInputError(
                f"a chunk has token ids outside 0 … {config.vocab_size - 1}; "
                "encode it with the checkpoint's own tokenizer"
            )
