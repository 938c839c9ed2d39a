"""Rows of consecutive steps as an immutable Arrow IPC file: one record batch a layer.

Each record holds one row's key and value, and its retriever key, as raw bytes: Arrow has no
bfloat16. The schema's metadata says what the bytes are and which weights made them.

Legend: L layers, R rows, G key/value heads, e head dim, s retriever key width.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import torch
from torch import Tensor

from model.errors import StorageError
from model.store import RowBlock

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class ShardHeader:
    """What a shard's bytes mean.

    Attributes:
        fingerprint: of the weights that made the rows.
        dtype: of every number.
        kv_shape: of one row's key and value, (2, G, e).
        key_width: s; 0 without a retriever.
        first_step, steps: which steps' blocks it holds.
    """

    fingerprint: str
    dtype: str
    kv_shape: tuple[int, int, int]
    key_width: int
    first_step: int
    steps: int


def write_shard(path: Path, header: ShardHeader, rows: RowBlock) -> str:
    """Write rows to a new file and flush it to disk; returns the file's checksum."""
    schema = pa.schema(
        [
            pa.field("kv", pa.binary(_width(rows.kv)), nullable=False),
            pa.field("key", pa.binary(_width(rows.keys)), nullable=False),
        ],
        metadata={"mplus": json.dumps(asdict(header))},
    )
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        for kv, keys in zip(rows.kv, rows.keys, strict=True):
            writer.write_batch(pa.record_batch([_column(kv), _column(keys)], schema=schema))
    return file_checksum(path)


def read_shard(path: Path, checksum: str) -> tuple[ShardHeader, RowBlock]:
    """Read a shard back, bit for bit.

    Raises:
        StorageError: the file is missing, torn or not what was written.
    """
    try:
        found = file_checksum(path)
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error}; rebuild the memory") from error
    if found != checksum:
        raise StorageError(f"{path} is damaged (checksum differs); rebuild the memory from text")
    with pa.memory_map(str(path)) as source, pa.ipc.open_file(source) as reader:
        raw = json.loads(reader.schema.metadata[b"mplus"])
        header = ShardHeader(**{**raw, "kv_shape": tuple(raw["kv_shape"])})
        batches = [reader.get_batch(i) for i in range(reader.num_record_batches)]
        dtype = DTYPES[header.dtype]
        kv = torch.stack([_rows(b.column(0), dtype).unflatten(1, header.kv_shape) for b in batches])
        keys = torch.stack([_rows(b.column(1), dtype) for b in batches])
    return header, RowBlock(kv, keys)


def file_checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _width(rows: Tensor) -> int:
    return rows[0, 0].numel() * rows.element_size()


def _column(rows: Tensor) -> pa.Array:
    """[R, …] as R fixed-size binary values, without a copy where the memory is contiguous."""
    count = rows.shape[0]
    width = rows[0].numel() * rows.element_size()
    raw = rows.cpu().contiguous().view(torch.uint8).numpy() if width else b""
    return pa.Array.from_buffers(pa.binary(width), count, [None, pa.py_buffer(raw)])


def _rows(column: pa.Array, dtype: torch.dtype) -> Tensor:
    """The inverse of `_column`: [R, numbers]."""
    count, width = len(column), column.type.byte_width
    if not width:
        return torch.empty(count, 0, dtype=dtype)
    start = column.offset * width
    data = column.buffers()[1].slice(start, count * width)
    return torch.frombuffer(bytearray(data), dtype=dtype).view(count, -1)
