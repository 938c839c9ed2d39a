"""K0 rows of every layer fetched from local shard files, from the page cache and from the disk."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mplus_ray.bench.durable.appends import Percentiles
from mplus_ray.bench.durable.restarts import forget_pages
from mplus_ray.bench.shapes import LLAMA_8B
from mplus_ray.model.config import ModelConfig
from mplus_ray.model.ids import Ids
from mplus_ray.model.object_store.object_store import ObjectStore
from mplus_ray.model.store.file_refs import Shard
from mplus_ray.model.store.row_format import RowFormat, StoredRows
from mplus_ray.model.store.row_store import RowStore
from mplus_ray.model.store.shards import ShardHeader, write_shard

_PRECISION = "bfloat16"


def measure_gather(
    files: ObjectStore, shards: tuple[Shard, ...], config: ModelConfig, samples: int
) -> dict[str, Any]:
    """Random rows, K0 of each layer; each sample has its own. Cold ones have just been attached,
    since what is mapped already cannot be dropped from the page cache."""
    random = np.random.default_rng(0)
    folder = files.local
    assert folder is not None

    def attach() -> RowStore:
        store = RowStore(config, _PRECISION, torch.float32, torch.device("cpu"), None)
        store.attach(files, shards)
        return store

    def wanted(store: RowStore) -> list[Ids]:
        count = min(config.retrieved_rows, store.end)
        return [
            np.sort(random.choice(store.end, count, replace=False))
            for _ in range(config.num_hidden_layers)
        ]

    cold = []
    for _ in range(max(3, samples // 4)):
        store = attach()
        forget_pages(folder)
        cold.append(_seconds(store, wanted(store)))
    store = attach()
    seen = wanted(store)
    _seconds(store, seen)
    warm = [_seconds(store, seen) for _ in range(samples)]
    rows, of_rows = (config.num_hidden_layers * count for count in (len(seen[0]), store.end))
    nbytes = rows * store.format.kv_numbers * store.format.number.itemsize
    del store  # what is mapped stays in the page cache
    return {
        "rows": rows,
        "of_rows": of_rows,
        "megabytes": nbytes / 1e6,
        "warm_ms": vars(Percentiles.of(warm)),
        "cold_ms": vars(Percentiles.of(cold)),
        "warm_gbps": nbytes / Percentiles.of(warm).p50 / 1e6,
        "cold_gbps": nbytes / Percentiles.of(cold).p50 / 1e6,
        "cold_sequential_gbps": _sequential_gbps(folder, shards),
    }


def measure_wide_gather(folder: Path, steps: int, samples: int) -> dict[str, Any]:
    """Gather from shards with the rows of an 8B model, one step a file."""
    files = ObjectStore.open(str(folder))
    rows = RowFormat.of(LLAMA_8B, _PRECISION)
    shape = (LLAMA_8B.num_hidden_layers, LLAMA_8B.num_tokens)
    block = StoredRows(
        torch.randn(*shape, rows.kv_numbers, dtype=rows.number),
        torch.randn(*shape, rows.key_numbers, dtype=rows.number),
    )
    shards = tuple(
        write_shard(files, f"wide/{step}.arrow", ShardHeader("random", rows, step, 1), block)
        for step in range(steps)
    )
    return measure_gather(files, shards, LLAMA_8B, samples)


def _seconds(store: RowStore, ids: list[Ids]) -> float:
    return _timed(lambda: [store.gather(layer, rows) for layer, rows in enumerate(ids)])


def _timed(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def _sequential_gbps(folder: Path, shards: tuple[Shard, ...]) -> float:
    """What the disk gives when the same files are read from end to end."""
    forget_pages(folder)
    some = shards[:32]

    def read() -> None:
        for shard in some:
            descriptor = os.open(folder / shard.file, os.O_RDONLY)
            while os.read(descriptor, 8 << 20):
                pass
            os.close(descriptor)

    return sum(shard.nbytes for shard in some) / _timed(read) / 1e9
