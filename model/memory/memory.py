"""A tenant's memory as a value, and one step of it.

Everything here is a function of (weights, seed, chunks): memorizing returns a new memory and
leaves the old one as it was.

Legend: L layers, K rows a block, d hidden size.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from mplus_ray.model.config import ModelConfig
from mplus_ray.model.errors import InvalidInputError
from mplus_ray.model.ids import Ids
from mplus_ray.model.memory.encode import encode_rows
from mplus_ray.model.memory.membership import Membership
from mplus_ray.model.network.decoder import Network
from mplus_ray.model.network.write_pass import layer_inputs, write
from mplus_ray.model.store.row_format import RowBlock
from mplus_ray.model.store.row_store import RowStore
from mplus_ray.model.store.writer_state import WriterState


@dataclass(frozen=True)
class Memory:
    """What one tenant remembers.

    Attributes:
        seed: decides which rows each step drops.
        fingerprint: of the weights that made the rows.
        membership: which rows are where.
        writer_state: where it can be written on.
        store: the rows; it may already hold those of later memories of the same history.
    """

    seed: int
    fingerprint: str
    membership: Membership
    writer_state: WriterState
    store: RowStore

    def __repr__(self) -> str:
        """Short: the fields hold tensors of all layers."""
        return f"Memory(step={self.step}, seed={self.seed}, fingerprint={self.fingerprint!r})"

    @property
    def step(self) -> int:
        """Chunks memorized so far."""
        return self.writer_state.step

    @property
    def history(self) -> bytes:
        """Names the log that made this memory; empty at step 0."""
        return self.writer_state.history

    @property
    def last_block(self) -> Tensor | None:
        """Hidden rows [L, K, d] of the newest step."""
        return self.writer_state.last_block

    def unbounded(self) -> Memory:
        """This memory with a long-term memory that forgets nothing."""
        return replace(self, membership=self.membership.unbounded())

    def append(
        self, writer_state: WriterState, rows: RowBlock, positions: Ids | None = None
    ) -> Memory:
        """The memory one step later.

        Args:
            writer_state: of the step after this one.
            rows: of its block.
            positions: pool positions to drop [L, m]; by default the seed's own draw.
        """
        if positions is None:
            positions = self.membership.draw(self.seed)
        # Rows are only ever added at the end; a second future of the same past gets its own end.
        store = self.store if self.store.steps == self.step else self.store.prefix(self.step)
        store.append(store.format.store(rows), writer_state.history)
        membership = self.membership.advance(positions)
        return Memory(self.seed, self.fingerprint, membership, writer_state, store)


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
    dropped = positions if positions is not None else [None] * len(memories)
    written = write_steps(writer, reader, [memory.writer_state for memory in memories], chunks)
    return [
        memory.append(writer_state, rows, drop)
        for memory, (writer_state, rows), drop in zip(memories, written, dropped, strict=True)
    ]


def write_steps(
    writer: Network,
    reader: Network,
    writer_states: Sequence[WriterState],
    chunks: Sequence[Sequence[int]],
) -> list[tuple[WriterState, RowBlock]]:
    """The forward pass of `memorize`: the next writer state and the new rows of each of B tenants.

    Raises:
        InvalidInputError: a chunk is empty, too long or has an id outside the vocabulary.
    """
    if not writer_states:
        return []
    check_chunks(writer.config, chunks)
    with torch.no_grad():
        ids = [torch.tensor(list(chunk), device=writer.device) for chunk in chunks]
        if writer.config.rows == "inputs":
            rows = encode_rows(reader, layer_inputs(writer, ids))
            return [
                (
                    WriterState(writer_state.step + 1, link(writer_state.history, chunk), None),
                    replace(block, tokens=tokens.int()),
                )
                for writer_state, chunk, block, tokens in zip(
                    writer_states, chunks, rows, ids, strict=True
                )
            ]
        hidden = write(writer, ids, [writer_state.last_block for writer_state in writer_states])
        return [
            (
                WriterState(
                    writer_state.step + 1, link(writer_state.history, chunk), block.clone()
                ),
                rows,
            )
            for writer_state, chunk, block, rows in zip(
                writer_states, chunks, hidden, encode_rows(reader, hidden), strict=True
            )
        ]


def link(history: bytes, chunk: Sequence[int]) -> bytes:
    """The hash chain one chunk further, 16 bytes."""
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
