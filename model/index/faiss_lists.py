"""Which blocks a question's tokens lead to: FAISS inverted lists over the rows of every layer.

Each token finds its nearest rows. What is not found is guessed from a sample of blocks, so that
every block has an estimate of its votes, and the best estimates are the candidates.

Legend: L layers, K rows a block, B blocks, s key width, n question tokens, k rows found.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mplus_ray.model.errors import MPlusError
from mplus_ray.model.ids import Ids
from mplus_ray.model.index.int8_tiles import Queries, Tile, best_rows

_FOUND = 2048  # rows a token finds in a layer
_ROWS_A_LIST, _LEAST_LISTS = 1024, 16
_READ_ONE_IN = 64  # lists
_LEAST_READ = 8
_TRAINED_ON = 40  # rows a list
_SAMPLED = 512  # blocks, to twice as many
_SEED = 1234


class Lists:
    """The rows of the first tiles of a memory in lists of near ones. Any thread may search while
    one adds."""

    def __init__(self, tiles: Sequence[Tile]) -> None:
        """Lists with nothing in them, to be learned from these tiles."""
        faiss = load_faiss()
        self.trained = len(tiles)
        self.count = 0  # tiles in it
        self._lock = threading.Lock()
        layers, self._size, self._blocks, width = tiles[0].keys.shape
        number = max(_LEAST_LISTS, len(tiles) * self._blocks * self._size // _ROWS_A_LIST)
        self._layers = [_empty(faiss, width, number) for _ in range(layers)]
        self._stride = 1  # one block in so many is in the sample
        self._sample = np.empty(0, dtype=np.int64), tiles[0].only([])

    @property
    def nbytes(self) -> int:
        rows = self.count * self._blocks * self._size * len(self._layers)
        sampled = self._sample[1]
        return rows * row_bytes(sampled.keys.shape[3]) + sampled.nbytes

    def learn(self, tiles: Sequence[Tile]) -> bool:
        """Learn one layer's lists from the first `trained` of these tiles; False if all are."""
        for layer, index in enumerate(self._layers):
            if not index.is_trained:
                rows = _spread(tiles[: self.trained], layer, _TRAINED_ON * index.nlist)
                index.train(rows)
                return True
        return False

    def add(self, tile: Tile) -> None:
        """Put the next tile's rows into the lists."""
        for layer, index in enumerate(self._layers):
            rows = tile.blocks(layer).flatten(0, 1).numpy()
            with self._lock:
                index.add(rows)
        self._add_to_sample(tile)
        self.count += 1

    def _add_to_sample(self, tile: Tile) -> None:
        """Go on taking one block in so many; in twice as many when they become too many."""
        steps, sampled = self._sample
        first = self.count * self._blocks
        new = np.arange(-first % self._stride, self._blocks, self._stride)
        steps, sampled = np.append(steps, first + new), Tile.join([sampled, tile.only(new)])
        if len(steps) > 2 * _SAMPLED:
            self._stride *= 2
            steps, sampled = steps[::2], sampled.only(np.arange(0, len(steps), 2))
        self._sample = steps, sampled

    def estimates(
        self, queries: Sequence[Tensor], known: NDArray[np.bool_]
    ) -> tuple[Tensor, Ids, Tensor]:
        """About what all layers vote for the first blocks, and nearly what for some of them.

        Args:
            queries: L × [n, s].
            known: [B], which of the first blocks may be found; at most those in the lists.

        Returns:
            [B]; then a sample of known blocks, ascending, and their votes.
        """
        allowed = self._allowed(known)
        scale = queries[0].shape[1] ** -0.5
        steps, sampled_blocks = self._sample
        sample = steps[steps < len(known)]
        usable = known[sample]
        places = torch.from_numpy(np.flatnonzero(usable))
        votes, sampled = torch.zeros(len(known)), torch.zeros(len(places))
        for layer, query in enumerate(queries):
            best = best_rows([sampled_blocks], layer, Queries.of(query))[places].T
            found, rows = self._search(layer, query, allowed)
            guess = _mean_below(best, found)
            tokens = guess[:, None].repeat(1, len(known))
            tokens.scatter_reduce_(1, rows.clamp_min(0) // self._size, found, "amax")
            votes += tokens.mean(0) * scale
            sampled += best.mean(0) * scale
        return votes, sample[usable], sampled

    def _search(self, layer: int, query: Tensor, allowed: Any) -> tuple[Tensor, Tensor]:
        """Each token's best rows: q·k and ids [n, k]; -inf where there are not so many."""
        index = self._layers[layer]
        read = max(_LEAST_READ, index.nlist // _READ_ONE_IN)
        parameters = load_faiss().SearchParametersIVF(sel=allowed, nprobe=read)
        with self._lock:
            products, rows = index.search(query.float().numpy(), _FOUND, params=parameters)
        found, ids = torch.from_numpy(products), torch.from_numpy(rows)
        return found.masked_fill_(ids < 0, -torch.inf), ids

    def _allowed(self, known: NDArray[np.bool_]) -> Any:
        """A FAISS selector of these blocks' rows; others may be added meanwhile."""
        if known.all():
            return load_faiss().IDSelectorRange(0, len(known) * self._size)
        bits = np.packbits(np.repeat(known, self._size), bitorder="little")
        return load_faiss().IDSelectorBitmap(bits)


def row_bytes(width: int) -> int:
    """Bytes of one row of one layer: 8-bit numbers and an id, in arrays that double when full."""
    return (width + 8) * 3 // 2


def _mean_below(best: Tensor, found: Tensor) -> Tensor:
    """[n], the mean of a token's sampled maxima that it would not have found."""
    least = found.masked_fill(found.isinf(), torch.inf).amin(1, keepdim=True)  # inf: none found
    below = best < least
    mean = (best * below).sum(1) / below.sum(1)
    return torch.where(below.any(1), mean, least[:, 0].nan_to_num(posinf=0.0))


def _empty(faiss: Any, width: int, lists: int) -> Any:
    product = faiss.METRIC_INNER_PRODUCT
    index = faiss.IndexIVFScalarQuantizer(
        faiss.IndexFlatIP(width), width, lists, faiss.ScalarQuantizer.QT_8bit, product
    )
    index.cp.seed = _SEED
    index.cp.niter = 6
    index.cp.max_points_per_centroid = _TRAINED_ON
    index.cp.min_points_per_centroid = 1
    return index


def _spread(tiles: Sequence[Tile], layer: int, count: int) -> NDArray[np.float32]:
    """About `count` rows of a layer, the same number of every tile."""
    rows = sum(tile.keys[layer, ..., 0].numel() for tile in tiles)
    stride = max(1, rows // count) | 1  # odd, so that it walks through the blocks
    parts = [tile.blocks(layer).flatten(0, 1)[::stride] for tile in tiles]
    return torch.cat(parts).numpy()


def load_faiss() -> Any:
    """The module.

    Raises:
        MPlusError: it is not installed.
    """
    try:
        import faiss
    except ImportError as error:
        raise MPlusError(
            "memories of this length are searched with FAISS, which is not installed; "
            "pip install faiss-cpu"
        ) from error
    return faiss
