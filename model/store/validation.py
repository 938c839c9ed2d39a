"""Files of a memory that come from elsewhere: whether they are what they claim to be.

A checksum tells damage. This tells a file that was made for another model, or by hand.
"""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import torch

from mplus_ray.model.config import ModelConfig
from mplus_ray.model.errors import DamagedFileError, FingerprintMismatchError
from mplus_ray.model.store.file_refs import State
from mplus_ray.model.store.row_format import RowFormat
from mplus_ray.model.store.shards import ShardHeader, read_header, read_layout
from mplus_ray.model.store.writer_state import decode_state


def check_rows(
    name: str, data: pa.Buffer, config: ModelConfig, expected: ShardHeader
) -> tuple[int, ...]:
    """The layout of a shard file that holds the rows expected.

    Raises:
        DamagedFileError: it is no shard, or holds other rows.
    """
    try:
        header = read_header(data)
        with pa.ipc.open_file(pa.BufferReader(data)) as reader:
            batches = [reader.get_batch(index) for index in range(reader.num_record_batches)]
        for batch in batches:
            batch.validate(full=True)
        layout = read_layout(data, header)
    except (pa.ArrowException, AssertionError, IndexError, KeyError, TypeError) as error:
        raise DamagedFileError(name, f"it is no row shard: {error}") from error
    if replace(header, lengths=None) != replace(expected, lengths=None):
        raise DamagedFileError(name, f"it holds {header}, not {expected}")
    rows = _rows(name, header, config)
    widths = _widths(expected.rows, config)
    shapes = [(b.num_rows, *(c.type.byte_width for c in b.columns)) for b in batches]
    if shapes != [(rows, *widths)] * config.num_hidden_layers:
        raise DamagedFileError(name, "its rows have another shape than the model's")
    last = (config.num_hidden_layers - 1) * layout[2]
    places = (layout[0] + last, layout[1] + last, *layout[3:4])
    ends = [at + rows * width for at, width in zip(places, widths, strict=True)]
    if min(layout) < 0 or max(ends) > data.size:
        raise DamagedFileError(name, "its rows do not lie where they should")
    return layout


def check_tip(data: pa.Buffer, state: State, config: ModelConfig, fingerprint: str) -> None:
    """Refuse a state file that a writer could not go on from.

    Raises:
        DamagedFileError: it is no state, or of another step or shape.
    """
    try:
        writer_state = decode_state(data, state, fingerprint, torch.device("cpu"))
    except FingerprintMismatchError as error:
        raise DamagedFileError(state.file, str(error)) from error
    shape = (config.num_hidden_layers, config.num_tokens, config.hidden_size)
    if config.rows == "inputs":
        if writer_state.last_block is not None:
            raise DamagedFileError(state.file, "it has a block, which the model has no use for")
    elif writer_state.last_block is None or tuple(writer_state.last_block.shape) != shape:
        raise DamagedFileError(state.file, "it has no block of the model's shape")


def _rows(name: str, header: ShardHeader, config: ModelConfig) -> int:
    """Rows of a layer that the file must have."""
    if config.rows == "outputs":
        if header.lengths is not None:
            raise DamagedFileError(name, "its steps have lengths, which the model's have not")
        return header.steps * config.num_tokens
    lengths = header.lengths or ()
    if len(lengths) != header.steps or not all(1 <= n <= config.num_tokens for n in lengths):
        raise DamagedFileError(name, "its steps have other lengths than the model allows")
    return sum(lengths)


def _widths(rows: RowFormat, config: ModelConfig) -> tuple[int, ...]:
    """Bytes of a row's keys and values, of its retriever key, and of its token id if it has one."""
    token = (4,) if config.rows == "inputs" else ()
    size = rows.number.itemsize
    return rows.kv_numbers * size, rows.key_numbers * size, *token
