"""Files of heads: what no head names is deleted, and shards are cut where a head begins."""

from __future__ import annotations

import uuid

from mplus_ray.model.store.file_refs import Shard
from mplus_ray.pipeline.ledger.heads.head import Serving
from mplus_ray.pipeline.ledger.heads.leases import Lease
from mplus_ray.pipeline.ledger.tenant_log import TenantLog
from mplus_ray.pipeline.writing.engine import Stores


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
            name = f"{log.tenant.id}/{serving.head.id}/{lease.epoch:08d}-rows-{uuid.uuid4().hex}"
            whole.append(copy_steps(engine.files, [shard], shard.first_step, step, f"{name}.arrow"))
    return whole
