"""The memory a checkpoint brings along: pool and long-term rows that every tenant starts from.

Rows are stored right-aligned, long-term rows first: with N pool rows, pool row i has id i - N
and the j-th of a layer's n long-term rows has id j - n - N.

Legend: L layers, N pool rows, d hidden size, K rows a block.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mplus_ray.model.memory.encode import encode_rows
from mplus_ray.model.memory.membership import Membership
from mplus_ray.model.memory.memory import Memory
from mplus_ray.model.network.decoder import Network
from mplus_ray.model.store.row_format import RowBlock
from mplus_ray.model.store.row_store import RowStore
from mplus_ray.model.store.writer_state import WriterState


@dataclass(frozen=True)
class Genesis:
    """Shared, read-only: the rows, their membership, and the block that the first step sees.

    Attributes:
        rows: of all blocks.
        membership: where each of them is.
        last_block: [L, K, d] hidden rows.
    """

    rows: RowBlock
    membership: Membership
    last_block: Tensor


def make_genesis(
    reader: Network, pool: Tensor, long_term: Sequence[Tensor], remaining: Sequence[Tensor]
) -> Genesis:
    """Build it from a checkpoint's tensors.

    Args:
        reader: the read role's network, which the stored rows are made with.
        pool: hidden rows [L, N, d], oldest first.
        long_term: per layer hidden rows [n, d]; empty without a long-term memory.
        remaining: per layer their recall counters [n].
    """
    config = reader.config
    layers, size, _ = pool.shape
    hidden = [
        torch.cat([long_term[index], pool[index]]) if long_term else pool[index]
        for index in range(layers)
    ]
    longest = max(len(rows) for rows in hidden)
    padded = pool.new_zeros(layers, longest, pool.shape[2])
    for index, rows in enumerate(hidden):
        padded[index, longest - len(rows) :] = rows
    with torch.no_grad():
        block = encode_rows(reader, [padded])[0]
    ids = np.arange(-size, 0)
    membership = Membership.genesis(
        config,
        pool=np.broadcast_to(ids, (layers, size)).copy(),
        long_term=[np.arange(-size - len(rows), -size) for rows in long_term],
        remaining=[_counters(counts) for counts in remaining],
    )
    return Genesis(block, membership, pool[:, -config.num_tokens :].clone())


def first_memory(
    reader: Network, genesis: Genesis | None, seed: int, fingerprint: str, precision: str
) -> Memory:
    """The memory of a tenant that has memorized nothing yet.

    Args:
        precision: how its rows are stored, see `model.store.row_format`.
    """
    config = reader.config
    return Memory(
        seed=seed,
        fingerprint=fingerprint,
        membership=genesis.membership if genesis else Membership.genesis(config),
        writer_state=WriterState(0, b"", genesis.last_block if genesis else None),
        store=RowStore(
            config, precision, reader.dtype, reader.device, genesis.rows if genesis else None
        ),
    )


def _counters(counts: Tensor) -> NDArray[np.float32]:
    return counts.float().cpu().numpy().astype(np.float32)
