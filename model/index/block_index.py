"""What a row store keeps beside its keys, so that many blocks need not all be scored exactly.

Two stages, both grown step by step: int8 copies of complete tiles of blocks, made at once, and
FAISS lists once there are very many, made by a thread of their own while the copies serve. Stores
of one history share what they have in common. Nothing here is part of a memory: it decides which
blocks are scored exactly, and is made again whenever it is missing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from torch import Tensor

from mplus_ray.model.config import ModelConfig
from mplus_ray.model.index.faiss_lists import Lists, row_bytes
from mplus_ray.model.index.growing_lists import GrowingLists
from mplus_ray.model.index.int8_tiles import Tile, near_votes, tile_blocks, tile_bytes

COPIES_FROM = 1024  # blocks; fewer are scored exactly in less time
LISTS_FROM = 512  # tiles, two million rows a layer; with fewer, copies are as fast


class BlockIndex:
    """Of the blocks of one store, from its first on."""

    def __init__(
        self, config: ModelConfig, start: int = COPIES_FROM, lists_from: int = LISTS_FROM
    ) -> None:
        """
        Args:
            start: blocks from which on there is anything.
            lists_from: tiles from which on there are FAISS lists.
        """
        self.start = start
        self._config = config
        self._tiles: list[Tile] = []
        self._lock = threading.Lock()
        self.lists = GrowingLists(lists_from)

    @property
    def tile(self) -> int:
        """Blocks of a tile."""
        return tile_blocks(self._config)

    @property
    def steps(self) -> int:
        """Blocks covered."""
        return len(self._tiles) * self.tile

    @property
    def nbytes(self) -> int:
        """Bytes on the host; stores that share it count it each."""
        return sum(tile.nbytes for tile in self._tiles) + self.lists.nbytes

    def extend(self, steps: int, read: Callable[[int, int], Tensor]) -> None:
        """Cover all complete tiles among the first `steps` blocks, if they are enough.

        Args:
            read: keys [L, B, K, s] of steps first … end - 1.
        """
        if steps < self.start:
            return
        with self._lock:
            while self.steps + self.tile <= steps:
                self._tiles.append(Tile.of(read(self.steps, self.steps + self.tile)))
            if not self.lists.feed(self._tiles):
                self.lists = GrowingLists(self.lists.start)  # they went on with another history
                self.lists.feed(self._tiles)

    def prefix(self, steps: int) -> BlockIndex:
        """An index of the first `steps` blocks."""
        copy = BlockIndex(self._config, self.start, self.lists.start)
        copy._tiles = self._tiles[: steps // self.tile]
        copy.lists = self.lists
        return copy

    def listed(self, steps: int) -> tuple[Lists | None, int]:
        """The lists, and how many of the first `steps` blocks can be found in them."""
        lists, count = self.lists.common(self._tiles[: steps // self.tile])
        return lists, count * self.tile

    def near_votes(self, queries: Sequence[Tensor], first: int, steps: int) -> Tensor:
        """About what all layers vote for the blocks first … that are covered, and below `steps`.

        Args:
            queries: L × [n, s].
            first: where a tile begins.
        """
        end = -(-steps // self.tile)
        return near_votes(queries, self._tiles[first // self.tile : end])[: steps - first]


def index_bytes(config: ModelConfig, steps: int) -> int:
    """Bytes on the host of the index of so many blocks, none less than it will take."""
    tiles = steps // tile_blocks(config) if steps >= COPIES_FROM else 0
    total = tiles * tile_bytes(config)
    if tiles < LISTS_FROM:
        return total
    rows = tiles * tile_blocks(config) * config.num_tokens * config.num_hidden_layers
    return total + 2 * rows * row_bytes(config.selector_hidden_dim)
