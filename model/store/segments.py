"""Runs of consecutive rows that a row store is made of: in memory, mapped, far away, or gone.

Legend: L layers, R rows, K rows a block, w stored numbers of a row, s retriever key width.
"""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from mplus_ray.model.errors import StorageError
from mplus_ray.model.index.int8_keys import quantize
from mplus_ray.model.object_store.failures import needed
from mplus_ray.model.object_store.object_store import ObjectStore
from mplus_ray.model.store.file_refs import Shard
from mplus_ray.model.store.row_format import RowFormat, StoredRows

Coarse = tuple[Tensor, Tensor]  # int8 keys [L, R, s] and their scales [L, R]


class Lengths:
    """How many rows each of a run of steps has, K at most, and so where each of its rows lies.

    A row's id leaves room for K rows a step; what a step does not have is nowhere.
    """

    def __init__(self, counts: Sequence[int], size: int) -> None:
        """
        Args:
            size: K.
        """
        self.counts = list(counts)
        self._size = size

    @property
    def rows(self) -> int:
        """Rows of all the steps."""
        return sum(self.counts)

    def places(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Places of rows, of which the first step's first has id 0. Absent rows have none."""
        starts = np.concatenate([[0], np.cumsum(self.counts)]).astype(np.int64)
        return starts[ids // self._size] + ids % self._size

    def steps(self, start: int, end: int) -> tuple[slice, tuple[int, ...]]:
        """The places of the rows of whole steps from id `start` to `end`, and their lengths."""
        first, last = start // self._size, end // self._size
        counts = self.counts[first:last]
        before = sum(self.counts[:first])
        return slice(before, before + sum(counts)), tuple(counts)


class Segment(Protocol):
    """Rows with ids `first` … `first + rows - 1`, of which only the first may ever be read."""

    @property
    def first(self) -> int: ...

    @property
    def rows(self) -> int: ...

    @property
    def keys(self) -> Tensor:
        """Retriever keys as numbers [L, R, s]."""
        ...

    @property
    def coarse(self) -> Coarse | None: ...

    def kv(self, layer: int, at: Tensor) -> Tensor:
        """Stored keys and values [n, w] of the rows at places `at` [n], ascending."""
        ...

    @property
    def lengths(self) -> Lengths | None:
        """Of the steps; None where every step has K rows."""
        ...

    def stored(self, start: int, end: int) -> StoredRows:
        """Rows start … end - 1, counted from the segment's first; of whole steps where these have
        lengths."""
        ...

    def tokens(self, start: int, end: int) -> Tensor:
        """Token ids [n] of the rows of whole steps with lengths."""
        ...


class Slab:
    """Rows in memory, with room for more."""

    def __init__(
        self,
        first: int,
        room: StoredRows,
        rows: RowFormat,
        key_dtype: torch.dtype,
        coarse: bool,
        size: int = 0,
    ) -> None:
        """
        Args:
            size: K, where steps have lengths.
        """
        self.first = first
        self.rows = room.rows
        self.lengths = None if room.lengths is None else Lengths(room.lengths, size)
        self._size = size
        self._room = room
        self._format = rows
        self._separate = rows.number != key_dtype
        self.keys = rows.keys(room.keys, key_dtype) if self._separate else room.keys
        self.coarse = quantize(self.keys) if coarse else None

    @classmethod
    def empty(
        cls,
        first: int,
        shape: tuple[int, int],
        rows: RowFormat,
        key_dtype: torch.dtype,
        device: torch.device,
        coarse: bool,
        size: int = 0,
    ) -> Slab:
        """Room for [L, R] rows. Zeros, so that nothing is read that was not written.

        Args:
            size: K, where steps have lengths.
        """
        room = StoredRows(
            torch.zeros(*shape, rows.kv_numbers, dtype=rows.number, device=device),
            torch.zeros(*shape, rows.key_numbers, dtype=rows.number, device=device),
            torch.zeros(shape[1], dtype=torch.int32, device=device) if size else None,
            () if size else None,
        )
        return cls(first, room, rows, key_dtype, coarse, size)

    def write(self, start: int, rows: StoredRows) -> None:
        """Write the rows of the step whose first row is `start`; later steps are lost."""
        if self.lengths is not None:
            assert rows.tokens is not None
            del self.lengths.counts[start // self._size :]
            start = self.lengths.rows
            self.lengths.counts.append(rows.rows)
            assert self._room.tokens is not None
            self._room.tokens[start : start + rows.rows] = rows.tokens
        part = slice(start, start + rows.rows)
        self._room.kv[:, part] = rows.kv
        self._room.keys[:, part] = rows.keys
        if self._separate:
            self.keys[:, part] = self._format.keys(rows.keys, self.keys.dtype)
        if self.coarse is not None:
            keys, scales = quantize(self.keys[:, part])
            self.coarse[0][:, part], self.coarse[1][:, part] = keys, scales

    def kv(self, layer: int, at: Tensor) -> Tensor:
        return self._room.kv[layer].index_select(0, at)

    def stored(self, start: int, end: int) -> StoredRows:
        if self.lengths is None:
            return self._room.part(slice(start, end), None)
        return self._room.part(*self.lengths.steps(start, end))

    def tokens(self, start: int, end: int) -> Tensor:
        assert self.lengths is not None
        assert self._room.tokens is not None
        return self._room.tokens[self.lengths.steps(start, end)[0]]

    def clone(self) -> Slab:
        tokens = self._room.tokens.clone() if self._room.tokens is not None else None
        lengths = tuple(self.lengths.counts) if self.lengths is not None else None
        room = StoredRows(self._room.kv.clone(), self._room.keys.clone(), tokens, lengths)
        coarse = self.coarse is not None
        copy = Slab(self.first, room, self._format, self.keys.dtype, coarse, self._size)
        copy.rows = self.rows
        return copy


class Gap:
    """Rows that nobody can read any more: their files are gone."""

    coarse = None
    lengths = None

    def __init__(self, first: int, shape: tuple[int, int], rows: RowFormat, like: Tensor) -> None:
        """
        Args:
            shape: L and R.
            like: brings dtype and device of the keys.
        """
        self.first, self.rows = first, shape[1]
        self._format = rows
        self.keys = like.new_zeros(1, 1, rows.key_width).expand(*shape, -1)

    def kv(self, layer: int, at: Tensor) -> Tensor:
        raise _gone(self.first)

    def stored(self, start: int, end: int) -> StoredRows:
        raise _gone(self.first)

    def tokens(self, start: int, end: int) -> Tensor:
        raise _gone(self.first)


def _gone(row: int) -> StorageError:
    return StorageError(
        f"the rows from {row} on were forgotten and their files removed; ask a later step, or "
        "rebuild the memory from its documents"
    )


class ShardSegment:
    """The rows of one shard file: retriever keys in memory, the rest where the file is.

    A local file is mapped and rows are gathered from the page cache without another copy; of a
    remote one only the rows asked for are read.
    """

    def __init__(
        self,
        files: ObjectStore,
        shard: Shard,
        rows: RowFormat,
        shape: tuple[int, int],
        key_dtype: torch.dtype,
        device: torch.device,
        coarse: bool,
    ) -> None:
        """
        Args:
            shape: L and K.

        Raises:
            DamagedFileError: the file is gone or too short.
        """
        self._files, self._shard, self._format, self._device = files, shard, rows, device
        self._layers, size = shape
        self.first = shard.first_step * size
        self.rows = shard.steps * size
        self.lengths = None if shard.lengths is None else Lengths(shard.lengths, size)
        self._held = self.rows if self.lengths is None else self.lengths.rows
        self._mapped: list[Tensor] | None = None
        with needed(shard.file):
            whole = files.map(shard.file)
        if whole is not None:
            self._mapped = [self._view(whole, 0, layer) for layer in range(self._layers)]
            keys = [self._view(whole, 1, layer) for layer in range(self._layers)]
        else:
            keys = [
                torch.frombuffer(bytearray(data), dtype=rows.number).view(self._held, -1)
                if rows.key_numbers
                else torch.empty(self._held, 0, dtype=rows.number)
                for data in self._read(
                    [self._span(1, layer, 0, self._held) for layer in range(self._layers)]
                )
            ]
        self.keys = rows.keys(torch.stack(keys).to(device), key_dtype)
        self.coarse = quantize(self.keys) if coarse else None

    def kv(self, layer: int, at: Tensor) -> Tensor:
        if self._mapped is not None:
            return self._mapped[layer].index_select(0, at.cpu()).to(self._device)
        places = at.cpu().numpy()
        runs = np.split(places, np.flatnonzero(np.diff(places) != 1) + 1)
        spans = [self._span(0, layer, int(run[0]), len(run)) for run in runs if len(run)]
        data = b"".join(self._read(spans))
        return self._tensor(data).view(len(places), self._format.kv_numbers).to(self._device)

    def stored(self, start: int, end: int) -> StoredRows:
        tokens, lengths = None, None
        if self.lengths is not None:
            tokens = self.tokens(start, end)
            places, lengths = self.lengths.steps(start, end)
            start, end = places.start, places.stop
        columns: list[Tensor] = []
        for column in (0, 1):
            numbers = self._format.key_numbers if column else self._format.kv_numbers
            spans = [self._span(column, layer, start, end - start) for layer in range(self._layers)]
            data = b"".join(self._read(spans))
            columns.append(self._tensor(data).view(self._layers, end - start, numbers))
        return StoredRows(columns[0], columns[1], tokens, lengths)

    def tokens(self, start: int, end: int) -> Tensor:
        assert self.lengths is not None
        places, _ = self.lengths.steps(start, end)
        size = torch.int32.itemsize
        offset = self._shard.layout[3] + places.start * size
        (data,) = self._read([(offset, (places.stop - places.start) * size)])
        return torch.frombuffer(bytearray(data), dtype=torch.int32)

    def _read(self, spans: Sequence[tuple[int, int]]) -> list[pa.Buffer]:
        """
        Raises:
            DamagedFileError: the file is gone or too short.
        """
        with needed(self._shard.file):
            return self._files.read_ranges(self._shard.file, spans)

    def _width(self, column: int) -> int:
        """Bytes of one row's kv (0) or key (1)."""
        numbers = self._format.key_numbers if column else self._format.kv_numbers
        return numbers * self._format.number.itemsize

    def _span(self, column: int, layer: int, start: int, count: int) -> tuple[int, int]:
        """(offset, length) in bytes of rows start … start + count - 1."""
        width = self._width(column)
        offset = self._shard.layout[column] + layer * self._shard.layout[2] + start * width
        return offset, count * width

    def _view(self, whole: mmap.mmap, column: int, layer: int) -> Tensor:
        offset, length = self._span(column, layer, 0, self._held)
        number = self._format.number
        if not length:
            return torch.empty(self._held, 0, dtype=number)
        count = length // number.itemsize
        return torch.frombuffer(whole, dtype=number, count=count, offset=offset).view(
            self._held, -1
        )

    def _tensor(self, data: bytes) -> Tensor:
        if not data:  # keys without a retriever, or no rows
            return torch.empty(0, dtype=self._format.number)
        return torch.frombuffer(bytearray(data), dtype=self._format.number)
