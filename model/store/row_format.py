"""How a memory row is stored: as it was computed, rounded, or as 8-bit numbers with scales.

A row is rounded once, when it is born, so a memory in use equals the one that is read back.

Legend: L layers, R rows, G key/value heads, e head dim, s retriever key width, w stored numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from mplus_ray.model.config import ModelConfig
from mplus_ray.model.errors import InvalidInputError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
PRECISIONS = (*DTYPES, "int8")
_SCALE = torch.bfloat16  # as wide an exponent as the rows', at two bytes


@dataclass(frozen=True)
class RowBlock:
    """Rows of all layers with consecutive ids, as numbers.

    Attributes:
        kv: un-rotated keys and values [L, R, 2, G, e].
        keys: retriever keys [L, R, s]; s = 0 without a retriever.
        tokens: ids [R] (int32) of the tokens that the rows stand for, where a row is a layer's
            input at a token; None where rows are outputs.
    """

    kv: Tensor = field(repr=False)
    keys: Tensor = field(repr=False)
    tokens: Tensor | None = field(default=None, repr=False)

    @property
    def rows(self) -> int:
        return self.kv.shape[1]


@dataclass(frozen=True)
class StoredRows:
    """Rows of consecutive steps as they are kept.

    Attributes:
        kv: keys and values, one run of numbers a row, [L, R, w].
        keys: retriever keys [L, R, w'].
        tokens: ids [R] (int32) of the rows' tokens; None where every step has K rows.
        lengths: rows of each step, adding up to R; None where every step has K.
    """

    kv: Tensor
    keys: Tensor
    tokens: Tensor | None = None
    lengths: tuple[int, ...] | None = None

    @property
    def rows(self) -> int:
        return self.kv.shape[1]

    def steps(self, first: int, end: int, size: int) -> StoredRows:
        """Blocks first … end - 1, of `size` rows each where there are no lengths."""
        if self.lengths is None:
            part = slice(first * size, end * size)
            return StoredRows(self.kv[:, part], self.keys[:, part])
        part = slice(sum(self.lengths[:first]), sum(self.lengths[:end]))
        return self.part(part, self.lengths[first:end])

    def part(self, rows: slice, lengths: tuple[int, ...] | None) -> StoredRows:
        """Some of the rows, which are those of steps of these lengths."""
        tokens = self.tokens[rows] if self.tokens is not None else None
        return StoredRows(self.kv[:, rows], self.keys[:, rows], tokens, lengths)

    @classmethod
    def join(cls, parts: Sequence[StoredRows]) -> StoredRows:
        """The rows of consecutive parts as one."""
        kv = torch.cat([part.kv for part in parts], 1)
        keys = torch.cat([part.keys for part in parts], 1)
        tokens = [part.tokens for part in parts if part.tokens is not None]
        if not tokens:
            return cls(kv, keys)
        lengths = tuple(n for part in parts for n in part.lengths or ())
        return cls(kv, keys, torch.cat(tokens), lengths)


@dataclass(frozen=True)
class RowFormat:
    """What the numbers of a stored row mean.

    Attributes:
        precision: one of `PRECISIONS`. int8 has a scale for each head of the key and the value,
            and one for the retriever key, behind the row's numbers.
        heads, width: G and e of keys and values.
        key_width: s.
    """

    precision: str
    heads: int
    width: int
    key_width: int

    @classmethod
    def of(cls, config: ModelConfig, precision: str) -> RowFormat:
        """
        Raises:
            InvalidInputError: there is no such precision.
        """
        if precision not in PRECISIONS:
            raise InvalidInputError(
                f"rows cannot be stored as {precision!r}; there are {', '.join(PRECISIONS)}"
            )
        keys = config.selector_hidden_dim if config.has_retriever else 0
        return cls(precision, config.num_key_value_heads, config.head_dim, keys)

    @property
    def number(self) -> torch.dtype:
        return DTYPES.get(self.precision, torch.int8)

    @property
    def kv_numbers(self) -> int:
        """Stored numbers of one row's key and value."""
        return 2 * self.heads * self.width + self._behind(2 * self.heads)

    @property
    def key_numbers(self) -> int:
        """Stored numbers of one row's retriever key."""
        return self.key_width + self._behind(1 if self.key_width else 0)

    @property
    def row_bytes(self) -> int:
        """Bytes of one row of one layer."""
        return (self.kv_numbers + self.key_numbers) * self.number.itemsize

    def _behind(self, scales: int) -> int:
        return scales * _SCALE.itemsize if self.precision == "int8" else 0

    def store(self, rows: RowBlock) -> StoredRows:
        """Round rows to what is kept of them."""
        groups = rows.kv.flatten(2, 3)  # [L, R, 2·G, e]
        lengths = (rows.rows,) if rows.tokens is not None else None
        if self.precision != "int8":
            kv, keys = groups.flatten(2).to(self.number), rows.keys.to(self.number)
            return StoredRows(kv, keys, rows.tokens, lengths)
        keys = rows.keys[:, :, None] if self.key_width else rows.keys[:, :, None, :0]
        return StoredRows(_to_int8(groups), _to_int8(keys), rows.tokens, lengths)

    def kv(self, stored: Tensor, dtype: torch.dtype) -> Tensor:
        """Stored keys and values [n, w] as numbers [n, 2, G, e]."""
        return self._numbers(stored, 2 * self.heads, self.width, dtype).unflatten(
            1, (2, self.heads)
        )

    def keys(self, stored: Tensor, dtype: torch.dtype) -> Tensor:
        """Stored retriever keys [..., w'] as numbers [..., s]."""
        if not self.key_width:
            return stored.to(dtype)
        flat = stored.reshape(-1, stored.shape[-1])
        return self._numbers(flat, 1, self.key_width, dtype).view(*stored.shape[:-1], -1)

    def _numbers(self, stored: Tensor, groups: int, width: int, dtype: torch.dtype) -> Tensor:
        """[n, w] → [n, groups, width]."""
        if self.precision != "int8":
            return stored.to(dtype).view(-1, groups, width)
        end = groups * width
        scales = stored[:, end:].contiguous().view(_SCALE).to(dtype)
        return stored[:, :end].to(dtype).view(-1, groups, width) * scales[..., None]


def _to_int8(groups: Tensor) -> Tensor:
    """[L, R, g, e] → int8 [L, R, g·e + 2·g]: the numbers, then each group's scale."""
    if not groups.shape[-1]:
        return groups.flatten(2).to(torch.int8)
    values = groups.float()
    scales = (values.abs().amax(-1) / 127).clamp_min(1e-12).to(_SCALE)
    small = (values / scales.float()[..., None]).round().clamp(-127, 127).to(torch.int8)
    return torch.cat([small.flatten(2), scales.contiguous().view(torch.int8).flatten(2)], dim=2)
