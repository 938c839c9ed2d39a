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
from torch import Tensor

from mplus_ray.model.errors import StorageError
from mplus_ray.model.index.int8_keys import quantize
from mplus_ray.model.object_store.failures import needed
from mplus_ray.model.object_store.object_store import Files
from mplus_ray.model.store.file_refs import Shard
from mplus_ray.model.store.row_format import RowFormat, StoredRows

Coarse = tuple[Tensor, Tensor]  # int8 keys [L, R, s] and their scales [L, R]


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

    def stored(self, start: int, end: int) -> StoredRows:
        """Rows start … end - 1, counted from the segment's first."""
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
    ) -> None:
        self.first = first
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
    ) -> Slab:
        """Room for [L, R] rows. Zeros, so that nothing is read that was not written."""
        room = StoredRows(
            torch.zeros(*shape, rows.kv_numbers, dtype=rows.number, device=device),
            torch.zeros(*shape, rows.key_numbers, dtype=rows.number, device=device),
        )
        return cls(first, room, rows, key_dtype, coarse)

    @property
    def rows(self) -> int:
        return self._room.rows

    def write(self, start: int, rows: StoredRows) -> None:
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
        return StoredRows(self._room.kv[:, start:end], self._room.keys[:, start:end])

    def clone(self) -> Slab:
        room = StoredRows(self._room.kv.clone(), self._room.keys.clone())
        return Slab(self.first, room, self._format, self.keys.dtype, self.coarse is not None)


class Gap:
    """Rows that nobody can read any more: their files are gone."""

    coarse = None

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
        files: Files,
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
        self._mapped: list[Tensor] | None = None
        with needed(shard.file):
            whole = files.map(shard.file)
        if whole is not None:
            self._mapped = [self._view(whole, 0, layer) for layer in range(self._layers)]
            keys = [self._view(whole, 1, layer) for layer in range(self._layers)]
        else:
            keys = [
                torch.frombuffer(bytearray(data), dtype=rows.number).view(self.rows, -1)
                if rows.key_numbers
                else torch.empty(self.rows, 0, dtype=rows.number)
                for data in self._read(
                    [self._span(1, layer, 0, self.rows) for layer in range(self._layers)]
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
        columns: list[Tensor] = []
        for column in (0, 1):
            numbers = self._format.key_numbers if column else self._format.kv_numbers
            spans = [self._span(column, layer, start, end - start) for layer in range(self._layers)]
            data = b"".join(self._read(spans))
            columns.append(self._tensor(data).view(self._layers, end - start, numbers))
        return StoredRows(*columns)

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
        offset, length = self._span(column, layer, 0, self.rows)
        number = self._format.number
        if not length:
            return torch.empty(self.rows, 0, dtype=number)
        count = length // number.itemsize
        return torch.frombuffer(whole, dtype=number, count=count, offset=offset).view(self.rows, -1)

    def _tensor(self, data: bytes) -> Tensor:
        if not data:  # keys without a retriever, or no rows
            return torch.empty(0, dtype=self._format.number)
        return torch.frombuffer(bytearray(data), dtype=self._format.number)
