"""Rows of consecutive steps as an immutable Arrow IPC file: one record batch a layer.

Each record holds one row's key and value, and its retriever key, as raw bytes: Arrow has no
bfloat16. Where a row stands for a token, its id stands beside them, and a step has as many rows as
its chunk has tokens. The schema's metadata says what the bytes are and which weights made them.
All batches have the same size, so a few numbers say where every row lies
(`model.store.file_refs.Shard.layout`).

Legend: L layers, R rows.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from mplus_ray.model.errors import DamagedFileError, FingerprintMismatchError
from mplus_ray.model.object_store.failures import needed
from mplus_ray.model.object_store.object_store import ObjectStore, checksum
from mplus_ray.model.store.file_refs import Shard
from mplus_ray.model.store.row_format import RowFormat, StoredRows


@dataclass(frozen=True)
class ShardHeader:
    """What a shard's bytes mean.

    Attributes:
        fingerprint: of the weights that made the rows.
        rows: their format.
        first_step, steps: which steps' blocks it holds.
        lengths: rows of each step; None where every step has K.
    """

    fingerprint: str
    rows: RowFormat
    first_step: int
    steps: int
    lengths: tuple[int, ...] | None = None


def write_shard(files: ObjectStore, name: str, header: ShardHeader, rows: StoredRows) -> Shard:
    """Write rows [L, R, …] to a new file; it is durable on return.

    Raises:
        StorageError: the storage refused; nothing of the file stays.
    """
    data, layout = encode_shard(header, rows)
    files.put(name, data)
    return Shard(name, checksum(data), header.first_step, header.steps, data.size, layout)


def encode_shard(header: ShardHeader, rows: StoredRows) -> tuple[pa.Buffer, tuple[int, ...]]:
    """The bytes of a shard file, and their layout."""
    fields = [
        pa.field("kv", pa.binary(_width(rows.kv)), nullable=False),
        pa.field("key", pa.binary(_width(rows.keys)), nullable=False),
    ]
    shared = []
    if rows.tokens is not None:
        fields.append(pa.field("token", pa.int32(), nullable=False))
        shared.append(pa.array(rows.tokens.cpu().numpy(), pa.int32()))
    layers = zip(rows.kv, rows.keys, strict=True)
    schema = pa.schema(fields)
    batches = [
        pa.record_batch([_column(kv), _column(k), *shared], schema=schema) for kv, k in layers
    ]
    return _encode(replace(header, lengths=rows.lengths), batches)


def copy_steps(
    files: ObjectStore,
    shards: Sequence[Shard],
    first: int,
    end: int,
    name: str,
    at: int | None = None,
) -> Shard:
    """Steps first … end - 1 of consecutive shards as one new shard, bit for bit.

    Args:
        at: number of the new shard's first step, by default the same.

    Raises:
        DamagedFileError: a shard is missing or not what was written.
        StorageError: the storage refused.
    """
    layers: list[list[pa.RecordBatch]] = []
    header = None
    lengths: list[int] = []
    for shard in shards:
        data = read_checked(files, shard.file, shard.checksum)
        header = read_header(data)
        low, high = max(first, shard.first_step), min(end, shard.end)
        with pa.ipc.open_file(pa.BufferReader(data)) as reader:
            batches = [reader.get_batch(index) for index in range(reader.num_record_batches)]
        # Of a shared file not all may be wanted.
        before, wanted = low - shard.first_step, high - low
        if header.lengths is None:
            size = batches[0].num_rows // header.steps
            start, count = before * size, wanted * size
        else:
            kept = header.lengths[before : before + wanted]
            start, count = sum(header.lengths[:before]), sum(kept)
            lengths += kept
        layers.append([batch.slice(start, count) for batch in batches])
    assert header is not None
    header = replace(header, lengths=tuple(lengths) or None)
    joined = [_without_metadata(pa.concat_batches(parts)) for parts in zip(*layers, strict=True)]
    at = first if at is None else at
    data, layout = _encode(replace(header, first_step=at, steps=end - first), joined)
    files.put(name, data)
    return Shard(name, checksum(data), at, end - first, data.size, layout)


def read_tokens(files: ObjectStore, shard: Shard) -> list[list[int]]:
    """Token ids of each step's chunk, of a shard whose rows stand for tokens.

    Raises:
        DamagedFileError: the file is missing or too short.
    """
    lengths = shard.lengths or ()
    with needed(shard.file):
        (data,) = files.read_ranges(shard.file, [(shard.layout[3], sum(lengths) * 4)])
    tokens = np.frombuffer(data, dtype="<i4")
    return [part.tolist() for part in np.split(tokens, np.cumsum(lengths)[:-1])]


def _without_metadata(batch: pa.RecordBatch) -> pa.RecordBatch:
    return batch.replace_schema_metadata(None)


def _encode(
    header: ShardHeader, batches: Sequence[pa.RecordBatch]
) -> tuple[pa.Buffer, tuple[int, ...]]:
    facts = asdict(header)
    if header.lengths is None:  # files of steps of K rows stay as they were, byte for byte
        del facts["lengths"]
    schema = batches[0].schema.with_metadata({"mplus": json.dumps(facts)})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, schema) as writer:
        for batch in batches:
            writer.write_batch(batch.replace_schema_metadata(schema.metadata))
    data = sink.getvalue()
    return data, read_layout(data, header)


def read_header(data: pa.Buffer) -> ShardHeader:
    """What a shard file says of itself."""
    with pa.ipc.open_file(pa.BufferReader(data)) as reader:
        raw = json.loads(reader.schema.metadata[b"mplus"])
    lengths = tuple(raw["lengths"]) if raw.get("lengths") else None
    return ShardHeader(**{**raw, "rows": RowFormat(**raw["rows"]), "lengths": lengths})


def check_shard(files: ObjectStore, shard: Shard, fingerprint: str) -> None:
    """Read a whole shard and compare it with what was written.

    Raises:
        DamagedFileError: it is missing, torn or changed.
        FingerprintMismatchError: other weights made it.
    """
    data = read_checked(files, shard.file, shard.checksum)
    header = read_header(data)
    if header.fingerprint != fingerprint:
        raise FingerprintMismatchError(
            f"{shard.file} was made with weights {header.fingerprint}, not {fingerprint}"
        )


def read_checked(files: ObjectStore, name: str, expected: str) -> pa.Buffer:
    """A file's bytes, if they are what was written.

    Raises:
        DamagedFileError: it is missing or its checksum differs.
    """
    with needed(name):
        data = files.read(name)
    if checksum(data) != expected:
        raise DamagedFileError(name, "its checksum differs")
    return data


def read_layout(data: pa.Buffer, header: ShardHeader) -> tuple[int, ...]:
    """Where the rows of a shard file lie, see `model.store.file_refs.Shard`."""
    with pa.ipc.open_file(pa.BufferReader(data)) as reader:
        batches = [reader.get_batch(index) for index in range(reader.num_record_batches)]
        kv, keys = ([_address(batch.column(c), data) for batch in batches] for c in (0, 1))
        tokens = _address(batches[0].column(2), data) if header.lengths is not None else 0
    stride = kv[1] - kv[0] if len(kv) > 1 else 0
    for places in (kv, keys):
        assert places in ([places[0] + i * stride for i in range(len(places))], [0] * len(places))
    if header.lengths is None:
        return kv[0], keys[0], stride
    return kv[0], keys[0], stride, tokens, *header.lengths


def _address(column: pa.Array, data: pa.Buffer) -> int:
    buffer = column.buffers()[1]
    inside = buffer is not None and buffer.size > 0
    return int(buffer.address - data.address) if inside else 0


def _width(rows: Tensor) -> int:
    return rows.shape[2] * rows.element_size()


def _column(rows: Tensor) -> pa.Array:
    """[R, w] as R fixed-size binary values, without a copy where the memory is contiguous."""
    width = rows.shape[1] * rows.element_size()
    raw = rows.cpu().contiguous().view(torch.uint8).numpy() if width else b""
    return pa.Array.from_buffers(pa.binary(width), rows.shape[0], [None, pa.py_buffer(raw)])
