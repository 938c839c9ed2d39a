"""Parquet: one document a row, read by record batch."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from mplus_ray.model.errors import DocumentError
from mplus_ray.pipeline.parsing.records.record import Record
from mplus_ray.pipeline.parsing.records.tables import Columns
from mplus_ray.pipeline.parsing.refusals import Refusal

_BATCH = 32  # rows in memory at a time
_BUFFER = 2**20  # bytes of a column chunk read at a time
_MAX_COLUMN = 2**30  # unpacked bytes of a column chunk that packs suspiciously well
_MAX_RATIO = 200
_DICTIONARY = frozenset(["PLAIN", "PLAIN_DICTIONARY", "RLE_DICTIONARY", "RLE", "BIT_PACKED"])


def read_parquet(file: BinaryIO, name: str) -> Iterator[Record]:
    """The documents of a file, never more than a batch of them in memory.

    Raises:
        DocumentError: it is no Parquet file, is damaged, or has no column with text.
    """
    try:
        yield from _records(file, name)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DocumentError(
            f"{name} is a damaged or unsupported Parquet file ({error}); write it again",
            Refusal.DAMAGED,
        ) from error


def _records(file: BinaryIO, name: str) -> Iterator[Record]:
    found = pq.ParquetFile(file)
    _check_sizes(found.metadata, name)
    schema = found.schema_arrow
    names = [field.name for field in schema if _is_plain(field.type)]
    if len(set(schema.names)) < len(schema.names):
        raise DocumentError(f"{name} has two columns of one name; rename one", Refusal.MALFORMED)
    texts = [field.name for field in schema if _is_text(field.type)]
    # Kept as a dictionary, a value that is repeated a million times is in memory once.
    packed = [text for text in texts if _is_dictionary(found.metadata, text)]
    table = pq.ParquetFile(file, read_dictionary=packed, buffer_size=_BUFFER, pre_buffer=False)
    batches = table.iter_batches(batch_size=_BATCH, columns=names, use_threads=False)
    first = next(batches, None)
    if first is None:
        return
    if not texts:
        raise DocumentError(
            f"{name} has no column with text; name one of them `text` "
            f"(there are: {', '.join(schema.names)[:200]})",
            Refusal.MALFORMED,
        )
    columns = Columns.choose(names, _sizes(first, texts), name, first.num_rows)
    number = 0
    for batch in chain([first], batches):
        for place in range(batch.num_rows):
            number += 1
            row = {key: _plain(batch.column(key)[place].as_py()) for key in names}
            yield columns.record(row, number, name, f"{Path(name).stem} {number}", "parquet")


def _check_sizes(metadata: Any, name: str) -> None:
    for group in range(metadata.num_row_groups):
        for index in range(metadata.num_columns):
            column = metadata.row_group(group).column(index)
            unpacked, packed = column.total_uncompressed_size, column.total_compressed_size
            if unpacked > _MAX_COLUMN and unpacked > _MAX_RATIO * packed:
                raise DocumentError(
                    f"{name}, column {column.path_in_schema}: {packed:,} bytes would unpack to "
                    f"{unpacked:,}; write it again with smaller row groups",
                    Refusal.TOO_LARGE,
                )


def _is_dictionary(metadata: Any, column: str) -> bool:
    """Whether a column can be kept as a dictionary: Arrow reads no other encoding as one."""
    place = next(n for n in range(metadata.num_columns) if metadata.schema.column(n).path == column)
    groups = (metadata.row_group(group) for group in range(metadata.num_row_groups))
    return all(set(group.column(place).encodings) <= _DICTIONARY for group in groups)


def _is_plain(kind: Any) -> bool:
    """Lists, structures and binary data are no metadata of a text."""
    types = pa.types
    return not (types.is_nested(kind) or types.is_binary(kind) or types.is_large_binary(kind))


def _is_text(kind: Any) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _sizes(batch: Any, names: list[str]) -> dict[str, int]:
    return {name: sum(len(v.as_py() or "") for v in batch.column(name)) for name in names}


def _plain(value: Any) -> Any:
    """As JSON can hold it."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value)
