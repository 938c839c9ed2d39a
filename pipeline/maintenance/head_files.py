"""Files of heads: what no head names is deleted, and shards are cut where a head begins."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from mplus_ray.model.store.file_refs import Shard
from mplus_ray.pipeline.ledger.heads.head import Serving
from mplus_ray.pipeline.ledger.heads.leases import Lease
from mplus_ray.pipeline.ledger.tenant_log import TenantLog
from mplus_ray.pipeline.writing.engine import Stores

_COPIED_AT_ONCE = 64  # steps, whose rows are in memory meanwhile


def purge(engine: Stores, log: TenantLog, lease: Lease) -> int:
    """Delete files that the tenant's heads do not name any more, unless another tenant's do.

    Of files that no head ever named only those written under this lease's epoch or an earlier
    one go: a later holder's may be about to be committed. Returns how many went.
    """
    once_named = log.heads.garbage()
    found = [name for name, _ in engine.files.list(f"{log.tenant.id}/")]
    old = {name for name in found if _epoch(name) <= lease.epoch} | once_named
    gone = old - engine.ledger.referenced_files(old)
    engine.files.delete(gone)
    log.heads.clear_garbage(lease, once_named)
    return len(gone)


def _epoch(name: str) -> int:
    """Under which lease a file was written; it begins its name."""
    digits = name.rsplit("/", 1)[-1].partition("-")[0]
    return int(digits) if digits.isdigit() else 0


def shards_up_to(
    engine: Stores, log: TenantLog, lease: Lease, serving: Serving, step: int
) -> list[Shard]:
    """The shards of the first `step` steps; one that goes on is copied as far as it is wanted."""
    from mplus_ray.model.store.shards import copy_steps

    whole = [shard for shard in serving.shards if shard.end <= step]
    for shard in serving.shards:
        if shard.first_step < step < shard.end:
            name = _new_name(log, serving, lease)
            whole.append(copy_steps(engine.files, [shard], shard.first_step, step, name))
    return whole


def shards_without(
    engine: Stores,
    log: TenantLog,
    lease: Lease,
    serving: Serving,
    left_out: Sequence[tuple[int, int]],
) -> tuple[list[Shard], str]:
    """The head's rows without some steps, numbered anew, where no chunk was read with another.

    What lies before the first of them is shared, the rest is copied.

    Args:
        left_out: steps [first, end), ascending and apart.

    Returns:
        The shards, and the history of the log that they are the rows of.
    """
    from mplus_ray.model.store.shards import copy_steps

    ends = [0, *(end for _, end in left_out)]
    starts = [*(first for first, _ in left_out), serving.head.step]
    runs = [(first, end) for first, end in zip(ends, starts, strict=True) if first < end]
    kept: list[Shard] = []
    for first, end in runs:
        if first == 0:
            kept += shards_up_to(engine, log, lease, serving, end)
            continue
        for low in range(first, end, _COPIED_AT_ONCE):
            high = min(low + _COPIED_AT_ONCE, end)
            parts = [s for s in serving.shards if s.first_step < high and s.end > low]
            name, at = _new_name(log, serving, lease), kept[-1].end if kept else 0
            kept.append(copy_steps(engine.files, parts, low, high, name, at))
    return kept, history_of(engine, kept, serving.head.step)


def history_of(engine: Stores, shards: Sequence[Shard], end: int) -> str:
    """The history of the first `end` steps, from the token ids beside their rows.

    Args:
        shards: from step 0 on, without a gap.
    """
    from mplus_ray.model.memory.memory import link
    from mplus_ray.model.store.shards import read_tokens

    history = b""
    for shard in shards:
        for tokens in read_tokens(engine.files, shard)[: max(0, end - shard.first_step)]:
            history = link(history, tokens)
    return history.hex()


def _new_name(log: TenantLog, serving: Serving, lease: Lease) -> str:
    """Of a file of rows; its epoch keeps it from being purged before a head names it."""
    return f"{log.tenant.id}/{serving.head.id}/{lease.epoch:08d}-rows-{uuid.uuid4().hex}.arrow"
