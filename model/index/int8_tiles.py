"""A first look at the blocks of a long memory: int8 copies of their retriever keys.

Votes from them are near the exact ones at a quarter of the time; `model.retrieval.block_search`
scores the best blocks exactly and checks that what it left out could not have won. Complete tiles
of blocks never change, so stores of one history share them, and growing costs only what is new.

Legend: L layers, K rows a block, B blocks of a tile, s key width, n question tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from mplus_ray.model.config import ModelConfig

_TILE_ROWS = 4096  # their products with a question stay in the cache
_KEY = 127  # largest quantized number of a key
# Of a query. Processors without 8-bit dot products add pairs of products in 16 bits, and oneDNN
# moves the keys up by 128: 2 · 255 · 64 is the most that fits.
_QUERY = 64
_LANES = 8  # question tokens; other numbers are multiplied at half the speed


@dataclass(frozen=True)
class Tile:
    """B blocks.

    Attributes:
        keys: int8 [L, K, B, s], so that the best row of each block is a maximum over whole
            vectors.
        scales: [L, B], one a block.
    """

    keys: Tensor
    scales: Tensor

    @classmethod
    def of(cls, keys: Tensor) -> Tile:
        """Of keys [L, B, K, s]."""
        scales = (keys.abs().amax((2, 3)).float() / _KEY).clamp_min(1e-12)
        small = (keys.float() / scales[:, :, None, None]).round_().char()
        return cls(small.transpose(1, 2).contiguous(), scales)

    @property
    def nbytes(self) -> int:
        return self.keys.nbytes + self.scales.nbytes

    def blocks(self, layer: int) -> Tensor:
        """One layer's keys as numbers [B, K, s]."""
        return self.keys[layer].transpose(0, 1).float() * self.scales[layer, :, None, None]

    def only(self, places: Sequence[int] | NDArray[np.int64]) -> Tile:
        """Some of the blocks."""
        at = torch.as_tensor(places, dtype=torch.int64)
        return Tile(self.keys[:, :, at], self.scales[:, at])

    @classmethod
    def join(cls, tiles: Sequence[Tile]) -> Tile:
        """The blocks of all of them."""
        keys = torch.cat([tile.keys for tile in tiles], 2)
        return cls(keys, torch.cat([tile.scales for tile in tiles], 1))


@dataclass(frozen=True)
class Queries:
    """One layer's queries, quantized.

    Attributes:
        numbers: int8 [s, n'], n' filled up with zeros to whole lanes.
        scales: [n].
    """

    numbers: Tensor
    scales: Tensor

    @classmethod
    def of(cls, queries: Tensor) -> Queries:
        """Of [n, s]."""
        scales = (queries.float().abs().amax(1) / _QUERY).clamp_min(1e-12)
        small = (queries.float() / scales[:, None]).round_().char()
        return cls(pad(small.T, (0, -len(queries) % _LANES)).contiguous(), scales)


def best_rows(tiles: Sequence[Tile], layer: int, queries: Queries) -> Tensor:
    """About q·k of each token's best row in each block of tiles of one size, [blocks, n]."""
    size, blocks, _ = tiles[0].keys.shape[1:]
    lanes = queries.numbers.shape[1]
    products = torch.empty(size * blocks, lanes, dtype=torch.int32)
    best = torch.empty(len(tiles), blocks * lanes, dtype=torch.int32)
    for tile, row in zip(tiles, best, strict=True):
        torch._int_mm(tile.keys[layer].flatten(0, 1), queries.numbers, out=products)
        torch.amax(products.view(size, -1), 0, out=row)
    scales = torch.cat([tile.scales[layer] for tile in tiles])
    numbers = best.view(-1, lanes)[:, : len(queries.scales)]
    return numbers * queries.scales * scales[:, None]


def near_votes(queries: Sequence[Tensor], tiles: Sequence[Tile]) -> Tensor:
    """About what all layers vote for every block of the tiles.

    Args:
        queries: L × [n, s].
    """
    if not tiles:
        return torch.empty(0)
    scale = queries[0].shape[1] ** -0.5
    votes = [
        best_rows(tiles, layer, Queries.of(query)).mean(1) for layer, query in enumerate(queries)
    ]
    return torch.stack(votes).sum(0) * scale


def tile_blocks(config: ModelConfig) -> int:
    """B of the tiles of a store."""
    return max(1, _TILE_ROWS // config.num_tokens)


def tile_bytes(config: ModelConfig) -> int:
    """Bytes of one of them."""
    block = config.num_tokens * config.selector_hidden_dim + torch.float32.itemsize
    return config.num_hidden_layers * tile_blocks(config) * block
