"""Fewer and smaller files: small shards are merged, and those that nobody can read are dropped."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence

from mplus_ray.model.store.file_refs import Shard
from mplus_ray.pipeline.ledger.heads.leases import Lease
from mplus_ray.pipeline.ledger.tenant_log import TenantLog
from mplus_ray.pipeline.maintenance.head_files import purge
from mplus_ray.pipeline.writing.engine import Engine, Stores

SHARD_BYTES = 64 << 20  # compaction makes no larger shard, unless these are but a few steps
_FEW = 8  # neighbours of like size are merged when there are so many: each row is copied rarely


def compact(engine: Stores, log: TenantLog) -> int:
    """Merge neighbouring small shards; row ids do not change. Returns how many files went."""
    if not _mergeable(log.heads.serving().shards):
        return 0
    with engine.lease(log) as lease:
        gone = 0
        while group := _mergeable(log.heads.serving().shards):
            _merge(engine, log, lease, group)
            gone += len(group) - 1
        if gone:
            purge(engine, log, lease)
    return gone


def drop_forgotten(engine: Engine, log: TenantLog) -> int:
    """Remove shards of which no row can be read, neither now nor at a snapshot."""
    if engine.living_steps is None:
        return 0
    with engine.lease(log) as lease:
        serving = log.heads.serving()
        moments = [serving.head.step, *(snapshot.step for snapshot in log.snapshots.list())]
        living = engine.living_steps(log.tenant.seed, log.tenant.retention, moments)
        if living is None:
            return 0
        gone = [shard for shard in serving.shards if not living[shard.first_step : shard.end].any()]
        if gone:
            log.heads.drop_shards(lease, serving.head.id, gone)
            purge(engine, log, lease)
    return len(gone)


def _mergeable(shards: Sequence[Shard]) -> list[Shard]:
    """The first run of neighbours of like size that is worth a new file."""
    for group in _runs(shards):
        if len(group) >= _FEW:
            return group
    return []


def _runs(shards: Sequence[Shard]) -> Iterator[list[Shard]]:
    """Neighbours whose sizes are within a factor of `_FEW`, as many as fit into a shard."""
    group: list[Shard] = []
    for shard in shards:
        smallest = min((s.nbytes for s in group), default=shard.nbytes)
        most = max(SHARD_BYTES, _FEW * shard.nbytes // shard.steps)
        fits = sum(s.nbytes for s in group) + shard.nbytes <= most
        apart = bool(group) and group[-1].end != shard.first_step
        if group and (apart or shard.nbytes >= _FEW * smallest or not fits):
            yield group
            group = []
        group.append(shard)
    yield group


def _merge(engine: Stores, log: TenantLog, lease: Lease, group: Sequence[Shard]) -> None:
    from mplus_ray.model.store.shards import copy_steps

    head = log.heads.serving().head.id
    name = f"{log.tenant.id}/{head}/{lease.epoch:08d}-rows-{uuid.uuid4().hex}.arrow"
    merged = copy_steps(engine.files, group, group[0].first_step, group[-1].end, name)
    log.heads.replace_shards(lease, head, group, [merged])
