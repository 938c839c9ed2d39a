"""The append-only row store of one tenant: what its row ids point at.

A row is kept as its un-rotated key and value and its retriever key, all made with the read
role's weights; its position is known only when it is read.

Legend: L layers, K rows a block, G key/value heads, e head dim, s retriever key width.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from mplus_ray.model.config import ModelConfig
from mplus_ray.model.ids import Ids
from mplus_ray.model.index.block_index import BlockIndex
from mplus_ray.model.index.word_index import Split, WordIndex
from mplus_ray.model.object_store.object_store import ObjectStore
from mplus_ray.model.store.file_refs import Shard
from mplus_ray.model.store.row_format import RowBlock, RowFormat, StoredRows
from mplus_ray.model.store.segments import Gap, Segment, ShardSegment, Slab
from mplus_ray.model.store.shards import check_shard

_LARGEST_SLAB = 64  # blocks; slabs double up to it, so that a small tenant stays small


class RowStore:
    """Rows of `steps` blocks, and the checkpoint's genesis rows before them.

    Written rows never change, so stores of one history share what is full.
    """

    def __init__(
        self,
        config: ModelConfig,
        precision: str,
        dtype: torch.dtype,
        device: torch.device,
        genesis: RowBlock | None,
    ) -> None:
        """
        Args:
            precision: how rows are stored, see `model.store.row_format`.
            dtype: in which they are handed out.
        """
        self.config = config
        self.format = RowFormat.of(config, precision)
        self.dtype = dtype
        self.device = device
        # On a CPU, exact scores of very many rows take longer than the rest of a question.
        self.coarse = device.type == "cpu" and config.has_retriever and config.retrieval == "rows"
        # A GPU scores all blocks exactly in the time that anything else would take to begin.
        looks = device.type == "cpu" and config.has_retriever and config.retrieval == "blocks"
        self.index = BlockIndex(config) if looks else None
        # Where rows stand for tokens, a step has as many as its chunk; ids leave room for K.
        self._ragged = config.num_tokens if config.rows == "inputs" else 0
        self.words = WordIndex() if config.votes != "layers" else None
        self.steps = 0
        self.links: dict[int, bytes] = {}  # step → hash of all chunks before it, where known
        self._segments: list[Segment] = []
        if genesis is not None:
            rows = self.format.store(genesis)
            self._segments.append(Slab(-genesis.rows, rows, self.format, dtype, self.coarse))
        self._genesis = len(self._segments)

    @property
    def end(self) -> int:
        """One past the id of the newest row."""
        return self.steps * self.config.num_tokens

    @property
    def step_bytes(self) -> int:
        """Bytes of one step's block as it is stored, at most."""
        return self.config.num_hidden_layers * self.config.num_tokens * self.format.row_bytes

    @property
    def nbytes(self) -> int:
        """Bytes of the tenant's own rows; genesis rows are shared."""
        if not self._ragged:
            return self.steps * self.step_bytes
        layers = self.config.num_hidden_layers
        return int(self._lengths().sum()) * layers * (self.format.row_bytes + torch.int32.itemsize)

    def append(self, rows: StoredRows, history: bytes) -> None:
        """Add the rows of the next step, [L, K, …], and the hash of the log up to it."""
        if self._capacity_end() <= self.end:
            own = len(self._segments) - self._genesis
            count = min(_LARGEST_SLAB, 1 << own) * self.config.num_tokens
            shape = (self.config.num_hidden_layers, count)
            self._segments.append(
                Slab.empty(
                    self.end,
                    shape,
                    self.format,
                    self.dtype,
                    self.device,
                    self.coarse,
                    self._ragged,
                )
            )
        slab = self._segments[-1]
        assert isinstance(slab, Slab)
        slab.write(self.end - slab.first, rows)
        self.steps += 1
        self.links[self.steps] = history

    def attach(self, files: ObjectStore, shards: Sequence[Shard]) -> None:
        """Add the rows of shard files, from where the store ends; what they leave out is gone.

        Raises:
            StorageError: a file is missing or cannot be read.
        """
        shape = (self.config.num_hidden_layers, self.config.num_tokens)
        for shard in shards:
            if shard.first_step < self.steps or self._capacity_end() > self.end:
                raise ValueError(f"{shard.file} begins at {shard.first_step}, not {self.steps}")
            if shard.first_step > self.steps:
                self._leave_gap(shard.first_step)
            segment = ShardSegment(
                files, shard, self.format, shape, self.dtype, self.device, self.coarse
            )
            self._segments.append(segment)
            self.steps = shard.end

    def _leave_gap(self, step: int) -> None:
        size = self.config.num_tokens
        shape = (self.config.num_hidden_layers, (step - self.steps) * size)
        like = torch.empty(0, dtype=self.dtype, device=self.device)
        self._segments.append(Gap(self.end, shape, self.format, like))
        self.steps = step

    def _capacity_end(self) -> int:
        if len(self._segments) == self._genesis:
            return 0
        return self._segments[-1].first + self._segments[-1].rows

    def prefix(self, steps: int) -> RowStore:
        """A store of the first `steps` blocks that can be appended to; full parts are shared."""
        copy = RowStore(self.config, self.format.precision, self.dtype, self.device, None)
        copy._genesis = self._genesis
        copy.steps = steps
        copy.index = self.index.prefix(steps) if self.index is not None else None
        copy.words = self.words.prefix(steps) if self.words is not None else None
        copy.links = {step: link for step, link in self.links.items() if step <= steps}
        for index, segment in enumerate(self._segments):
            if index >= self._genesis and segment.first >= copy.end:
                break
            if copy.end >= segment.first + segment.rows:
                copy._segments.append(segment)
            elif isinstance(segment, Slab):
                copy._segments.append(segment.clone())
            else:
                copy._segments.append(self._part_in_memory(segment, copy.end - segment.first))
        return copy

    def _part_in_memory(self, segment: Segment, rows: int) -> Slab:
        """The first rows of a shard that a copy of the store must be able to go on from."""
        part = segment.stored(0, rows)
        tokens = part.tokens.to(self.device) if part.tokens is not None else None
        copy = StoredRows(part.kv.to(self.device), part.keys.to(self.device), tokens, part.lengths)
        slab = Slab(segment.first, copy, self.format, self.dtype, self.coarse, self._ragged)
        slab.rows = rows
        return slab

    def stored(self, first: int, end: int) -> StoredRows:
        """The rows that steps first … end - 1 wrote, [L, R, …]."""
        size = self.config.num_tokens
        low, high = first * size, end * size
        parts = []
        for segment in self._segments[self._genesis :]:
            start = max(low - segment.first, 0)
            stop = min(high - segment.first, segment.rows)
            if start < stop:
                parts.append(segment.stored(start, stop))
        return StoredRows.join(parts)

    def parts(self, window: int) -> Iterator[tuple[int, StoredRows]]:
        """The id of the first row and the rows of up to `window` steps at a time, without gaps."""
        size = window * self.config.num_tokens
        for segment in self._segments[self._genesis :]:
            end = min(segment.rows, self.end - segment.first)
            for start in range(0, 0 if isinstance(segment, Gap) else end, size):
                yield segment.first + start, segment.stored(start, min(start + size, end))

    def gather(self, layer: int, ids: Ids) -> Tensor:
        """Keys and values [n, 2, G, e] of the rows with these ids, which must ascend."""
        parts = [segment.kv(layer, local) for segment, local in self._locate(ids)]
        if not parts:
            config = self.config
            shape = (0, 2, config.num_key_value_heads, config.head_dim)
            return torch.empty(shape, dtype=self.dtype, device=self.device)
        rows = parts[0] if len(parts) == 1 else torch.cat(parts)
        return self.format.kv(rows, self.dtype)

    def gather_keys(self, layer: int, ids: Ids) -> Tensor:
        """Retriever keys [n, s] of the rows with these ids, which must ascend."""
        return torch.cat(
            [segment.keys[layer].index_select(0, local) for segment, local in self._locate(ids)]
        )

    def _locate(self, ids: Ids) -> Iterator[tuple[Segment, Tensor]]:
        """Ascending ids as segments and places in them."""
        ends = np.searchsorted(ids, [segment.first + segment.rows for segment in self._segments])
        for segment, start, end in zip(self._segments, [0, *ends], ends, strict=False):
            if start < end:
                local = ids[start:end] - segment.first
                places = local if segment.lengths is None else segment.lengths.places(local)
                yield segment, torch.from_numpy(places).to(self.device)

    def present(self, ids: Ids) -> Ids:
        """Those of ascending ids that rows have; all, where every step has K."""
        if not self._ragged:
            return ids
        size = self.config.num_tokens
        return ids[ids % size < self._lengths()[ids // size]]

    def _lengths(self) -> Ids:
        """[steps] rows of each step, where that differs."""
        size = self.config.num_tokens
        lengths = np.zeros(self.steps, dtype=np.int64)
        for segment in self._segments[self._genesis :]:
            if segment.lengths is not None:
                first = segment.first // size
                counts = segment.lengths.counts[: max(0, self.steps - first)]
                lengths[first : first + len(counts)] = counts
        return lengths

    def extend_words(self, steps: int, split: Split) -> None:
        """Have the words of the first `steps` blocks indexed.

        Args:
            split: a chunk's token ids as words.
        """
        if self.words is not None:
            self.words.extend(
                min(steps, self.steps), lambda first, end: map(split, self._chunks(first, end))
            )

    def chunk(self, step: int) -> list[int]:
        """Token ids of a step's chunk; none if it is gone, or rows are stored without them."""
        return next(self._chunks(step, step + 1), [])

    def _chunks(self, first: int, end: int) -> Iterator[list[int]]:
        """Token ids of the chunks of steps first … end - 1; none of those that are gone."""
        size = self.config.num_tokens
        for segment in self._segments[self._genesis :]:
            start = max(first * size - segment.first, 0)
            stop = min(end * size - segment.first, segment.rows)
            if start >= stop:
                continue
            if segment.lengths is None:
                yield from ([] for _ in range((stop - start) // size))
                continue
            counts = segment.lengths.steps(start, stop)[1]
            yield from (part.tolist() for part in segment.tokens(start, stop).split(counts))

    @property
    def first(self) -> int:
        """Id of the oldest row."""
        return self._segments[0].first if self._segments else 0

    def keys(self, layer: int, end: int, start: int | None = None) -> Iterator[Tensor]:
        """Retriever keys [R, s] of all rows with ids below `end`, part by part.

        Args:
            start: the first id, by default the oldest row's; from 0 on there are no genesis rows.
        """
        start = self.first if start is None else start
        for segment in self._segments:
            if segment.first < end and segment.first + segment.rows > start:
                yield segment.keys[layer, max(0, start - segment.first) : end - segment.first]

    def extend_index(self, steps: int) -> None:
        """Have an index of the first `steps` blocks, as far as it goes."""
        if self.index is not None:
            self.index.extend(min(steps, self.steps), self._block_keys)

    def _block_keys(self, first: int, end: int) -> Tensor:
        """Retriever keys [L, B, K, s] of the blocks of steps first … end - 1."""
        size, layers = self.config.num_tokens, range(self.config.num_hidden_layers)
        rows = [torch.cat([*self.keys(layer, end * size, first * size)]) for layer in layers]
        return torch.stack(rows).unflatten(1, (end - first, size))

    def coarse_keys(self, layer: int, end: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The int8 copies of `keys` and their scales."""
        for segment in self._segments:
            if segment.first < end and segment.coarse is not None:
                keys, scales = segment.coarse
                yield keys[layer, : end - segment.first], scales[layer, : end - segment.first]


def attach(store: RowStore, files: ObjectStore, shards: Sequence[Shard], fingerprint: str) -> None:
    """Add shards to a store, from the step where it ends; nothing of their rows is copied.

    Raises:
        DamagedFileError: a file is missing or not what was written.
        FingerprintMismatchError: other weights made it.
    """
    # Of a remote file only what is needed is read, so its whole is checked by `mplus verify`.
    if files.local is not None:
        for shard in shards:
            check_shard(files, shard, fingerprint)
    store.attach(files, shards)
