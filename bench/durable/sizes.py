"""Bytes a token of memory takes, and what a snapshot costs to take and to go back to.

Legend: L layers, K rows a block, d hidden size.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch

from mplus_ray.bench.durable.appends import Percentiles
from mplus_ray.bench.fixture import tenant
from mplus_ray.bench.shapes import LLAMA_8B
from mplus_ray.model.config import ModelConfig
from mplus_ray.model.memory.membership import Membership
from mplus_ray.model.object_store.object_store import ObjectStore
from mplus_ray.model.store.row_format import RowFormat, StoredRows
from mplus_ray.model.store.shards import ShardHeader, write_shard
from mplus_ray.pipeline.ledger.tenant_log import TenantLog
from mplus_ray.services.embedded import Embedded

PAPER_STEPS = 590
_PRECISIONS = ("float32", "bfloat16", "int8")
_SHARD_STEPS = 64


def measure_bytes(folder: Path, config: ModelConfig) -> dict[str, Any]:
    """Bytes per token of full chunks: of files for this checkpoint, computed for 8B."""
    files = ObjectStore.open(str(folder / "sizes"))
    measured = {name: _file_bytes(files, config, name) for name in _PRECISIONS}
    return {
        "checkpoint_from_files": {**measured, "hidden_float32": _hidden(config, 4)},
        "checkpoint_computed": {name: _rows(config, name) for name in _PRECISIONS},
        "llama_8b_computed": {
            **{name: _rows(LLAMA_8B, name) for name in _PRECISIONS},
            "hidden_bfloat16": _hidden(LLAMA_8B, 2),
        },
    }


def measure_stored(log: TenantLog) -> dict[str, float]:
    """Bytes per token of a tenant as it lies there; its chunks are rarely full."""
    serving, tokens = log.heads.serving(), log.tokens()
    return {
        "tokens": tokens,
        "tokens_per_step": tokens / serving.head.step,
        "rows": sum(shard.nbytes for shard in serving.shards) / tokens,
        "states": sum(state.nbytes for state in serving.states) / tokens,
    }


def measure_snapshots(system: Embedded, samples: int = 200) -> dict[str, Any]:
    """Taking one, in milliseconds and in bytes of the ledger."""
    log = tenant(system)
    path = system.settings.ledger_path
    assert path is not None
    before = _ledger_bytes(path)
    seconds = []
    for number in range(samples):
        began = time.perf_counter()
        log.snapshots.take(f"moment {number}")
        seconds.append(time.perf_counter() - began)
    after = _ledger_bytes(path)
    for number in range(samples):
        log.snapshots.delete(f"moment {number}")
    return {
        "take_ms": vars(Percentiles.of(seconds)),
        "ledger_bytes_each": (after - before) / samples,
    }


def measure_replay(config: ModelConfig, steps: int) -> dict[str, float]:
    """The index sets of a step from the seed alone, as going back to a snapshot needs them."""
    began = time.perf_counter()
    middle = Membership.genesis(config).replay(1, steps // 2)
    half = time.perf_counter()
    last = middle.replay(1, steps)
    end = time.perf_counter()
    ids = last.pool.nbytes + sum(ids.nbytes for ids in last.long_term)
    ids += sum(counters.nbytes for counters in last.remaining)
    return {
        "steps": steps,
        "seconds": end - began,
        "ms_per_step": 1e3 * (end - began) / steps,
        "ms_per_step_second_half": 1e3 * (end - half) / (steps - steps // 2),
        "bytes_if_it_were_stored": ids,
    }


def _ledger_bytes(path: Path) -> int:
    """Of the ledger with its write-ahead log brought in."""
    import sqlite3

    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return path.stat().st_size


def _file_bytes(files: ObjectStore, config: ModelConfig, precision: str) -> float:
    rows = RowFormat.of(config, precision)
    shape = (config.num_hidden_layers, _SHARD_STEPS * config.num_tokens)
    block = StoredRows(
        torch.zeros(*shape, rows.kv_numbers, dtype=rows.number),
        torch.zeros(*shape, rows.key_numbers, dtype=rows.number),
    )
    header = ShardHeader("zeros", rows, 0, _SHARD_STEPS)
    shard = write_shard(files, f"{precision}.arrow", header, block)
    files.delete([shard.file])
    return shard.nbytes / (_SHARD_STEPS * config.chunk_tokens)


def _rows(config: ModelConfig, precision: str) -> float:
    rows = config.num_hidden_layers * config.num_tokens
    return rows * RowFormat.of(config, precision).row_bytes / config.chunk_tokens


def _hidden(config: ModelConfig, itemsize: int) -> float:
    rows = config.num_hidden_layers * config.num_tokens
    return rows * config.hidden_size * itemsize / config.chunk_tokens
