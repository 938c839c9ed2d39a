"""The append-only row store of one tenant, in memory: what its row ids point at.

A row is kept as its un-rotated key and value and its retriever key, all made with the read
role's weights; its position is known only when it is read.

Legend: L layers, K rows a block, G key/value heads, e head dim, s retriever key width.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from model.coarse import quantize
from model.config import ModelConfig
from model.membership import Ids

_LARGEST_SLAB = 64  # blocks; slabs double up to it, so that a small tenant stays small


@dataclass(frozen=True)
class RowBlock:
    """Rows of all layers with consecutive ids.

    Attributes:
        kv: un-rotated keys and values [L, R, 2, G, e].
        keys: retriever keys [L, R, s]; s = 0 without a long-term memory.
    """

    kv: Tensor
    keys: Tensor

    @property
    def rows(self) -> int:
        return self.kv.shape[1]

    def to(self, dtype: torch.dtype) -> RowBlock:
        return RowBlock(self.kv.to(dtype), self.keys.to(dtype))


@dataclass(frozen=True)
class _Slab:
    first: int  # id of its first row
    block: RowBlock  # room for its rows; those beyond the store's end are unwritten
    coarse: tuple[Tensor, Tensor] | None  # int8 keys [L, R, s] and their scales [L, R]

    @property
    def rows(self) -> int:
        return self.block.rows

    def clone(self) -> _Slab:
        block = RowBlock(self.block.kv.clone(), self.block.keys.clone())
        coarse = self.coarse and (self.coarse[0].clone(), self.coarse[1].clone())
        return _Slab(self.first, block, coarse)


class RowStore:
    """Rows of `steps` blocks, and the checkpoint's genesis rows before them.

    Written rows never change, so stores of one history share full slabs.
    """

    def __init__(
        self,
        config: ModelConfig,
        dtype: torch.dtype,
        device: torch.device,
        genesis: RowBlock | None,
    ) -> None:
        self.config = config
        self.dtype = dtype
        self.device = device
        # On a CPU, exact scores of very many rows take longer than the rest of a question.
        self.coarse = device.type == "cpu" and config.has_long_term and config.retrieval == "rows"
        self.history: list[bytes] = []  # per step, a hash of all chunks up to it
        self._slabs: list[_Slab] = []
        if genesis is not None:
            coarse = quantize(genesis.keys) if self.coarse else None
            self._slabs.append(_Slab(-genesis.rows, genesis, coarse))
        self._genesis = len(self._slabs)

    @property
    def steps(self) -> int:
        return len(self.history)

    @property
    def end(self) -> int:
        """One past the id of the newest row."""
        return self.steps * self.config.num_tokens

    @property
    def nbytes(self) -> int:
        """Bytes of the tenant's own rows; genesis rows are shared."""
        config = self.config
        width = 2 * config.num_key_value_heads * config.head_dim
        if config.has_long_term:
            width += config.selector_hidden_dim
        return self.end * config.num_hidden_layers * width * self.dtype.itemsize

    def append(self, block: RowBlock, history: bytes) -> None:
        """Add the rows of the next step, [L, K, …], and the hash of the log up to it."""
        size = self.config.num_tokens
        if not self._slabs[self._genesis :] or self.end >= self._capacity_end():
            self._grow(block)
        slab = self._slabs[-1]
        start = self.end - slab.first
        slab.block.kv[:, start : start + size] = block.kv
        slab.block.keys[:, start : start + size] = block.keys
        if slab.coarse is not None:
            keys, scales = quantize(block.keys)
            slab.coarse[0][:, start : start + size] = keys
            slab.coarse[1][:, start : start + size] = scales
        self.history.append(history)

    def _capacity_end(self) -> int:
        return self._slabs[-1].first + self._slabs[-1].rows

    def _grow(self, like: RowBlock) -> None:
        own = len(self._slabs) - self._genesis
        rows = min(_LARGEST_SLAB, 1 << own) * self.config.num_tokens
        shape = (self.config.num_hidden_layers, rows)
        room = RowBlock(
            torch.empty(*shape, *like.kv.shape[2:], dtype=self.dtype, device=self.device),
            torch.empty(*shape, like.keys.shape[2], dtype=self.dtype, device=self.device),
        )
        coarse = None
        if self.coarse:
            coarse = (
                torch.empty(room.keys.shape, dtype=torch.int8),
                torch.empty(shape, dtype=torch.bfloat16),
            )
        self._slabs.append(_Slab(self.end, room, coarse))

    def prefix(self, steps: int) -> RowStore:
        """A store of the first `steps` blocks that can be appended to; full slabs are shared."""
        copy = RowStore(self.config, self.dtype, self.device, None)
        copy._genesis = self._genesis
        copy.history = self.history[:steps]
        for index, slab in enumerate(self._slabs):
            if index >= self._genesis and slab.first >= copy.end:
                break
            if copy.end >= slab.first + slab.rows:
                copy._slabs.append(slab)
            else:
                copy._slabs.append(slab.clone())
        return copy

    def blocks(self, first: int, end: int) -> RowBlock:
        """The rows that steps first … end - 1 wrote, [L, R, …]."""
        size = self.config.num_tokens
        low, high = first * size, end * size
        kv, keys = [], []
        for slab in self._slabs[self._genesis :]:
            span = slice(max(low - slab.first, 0), min(high - slab.first, slab.rows))
            if span.start < span.stop:
                kv.append(slab.block.kv[:, span])
                keys.append(slab.block.keys[:, span])
        return RowBlock(torch.cat(kv, dim=1), torch.cat(keys, dim=1))

    def gather(self, layer: int, ids: Ids) -> Tensor:
        """Keys and values [n, 2, G, e] of the rows with these ids, which must ascend."""
        parts = [slab.block.kv[layer].index_select(0, local) for slab, local in self._locate(ids)]
        if not parts:
            config = self.config
            shape = (0, 2, config.num_key_value_heads, config.head_dim)
            return torch.empty(shape, dtype=self.dtype, device=self.device)
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def gather_keys(self, layer: int, ids: Ids) -> Tensor:
        """Retriever keys [n, s] of the rows with these ids, which must ascend."""
        return torch.cat(
            [slab.block.keys[layer].index_select(0, local) for slab, local in self._locate(ids)]
        )

    def _locate(self, ids: Ids) -> Iterator[tuple[_Slab, Tensor]]:
        """Ascending ids as slabs and positions in them."""
        ends = np.searchsorted(ids, [slab.first + slab.rows for slab in self._slabs])
        for slab, start, end in zip(self._slabs, [0, *ends], ends, strict=False):
            if start < end:
                yield slab, torch.from_numpy(ids[start:end] - slab.first).to(self.device)

    @property
    def first(self) -> int:
        """Id of the oldest row."""
        return self._slabs[0].first if self._slabs else 0

    def keys(self, layer: int, end: int, own: bool = False) -> Iterator[Tensor]:
        """Retriever keys [R, s] of all rows with ids below `end`, slab by slab.

        Args:
            own: leave out genesis rows.
        """
        for slab in self._slabs[self._genesis if own else 0 :]:
            if slab.first < end:
                yield slab.block.keys[layer, : end - slab.first]

    def coarse_keys(self, layer: int, end: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The int8 copies of `keys` and their scales."""
        for slab in self._slabs:
            if slab.first < end and slab.coarse is not None:
                keys, scales = slab.coarse
                yield keys[layer, : end - slab.first], scales[layer, : end - slab.first]
