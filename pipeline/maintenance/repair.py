"""What keeps memories small and whole: compaction, cold tenants, repair, deletion."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from mplus_ray.model.errors import DamagedFileError
from mplus_ray.model.store.file_refs import Shard, State
from mplus_ray.pipeline.ledger.heads.leases import Lease
from mplus_ray.pipeline.ledger.tenant_log import TenantLog
from mplus_ray.pipeline.maintenance.rebuild import purge
from mplus_ray.pipeline.writing.engine import Engine, Stores
from mplus_ray.pipeline.writing.write_job import Job, OnStep, quiet, remake

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


def cool(engine: Stores, log: TenantLog) -> None:
    """Drop a tenant's rows; its log makes the same memory again when it is wanted."""
    with engine.lease(log) as lease:
        log.heads.drop_build(lease)
        log.unwant()  # before: who wants it from now on sees a whole memory, or waits for one
        log.heads.reset(lease, log.heads.serving().head.id)
        purge(engine, log, lease)


def sweep(engine: Stores) -> dict[str, int]:
    """Cool what is idle for longer than its tenant's `cold_after`, compact the rest, and finish
    taking away tenants whose deletion was interrupted."""
    idle = engine.ledger.idle_tenants()
    for log in idle:
        if log.heads.serving().head.step:
            cool(engine, log)
    cooled = {log.tenant.id for log in idle}
    rest = [s.tenant.name for s in engine.ledger.tenants() if s.tenant.id not in cooled]
    merged = sum(compact(engine, engine.ledger.tenant(name)) for name in rest)
    unfinished = engine.ledger.deleting()
    for tenant in unfinished:
        remove(engine, tenant.id)
    _delete_strays(engine)
    return {"cooled": len(idle), "merged": merged, "removed": len(unfinished)}


def _delete_strays(engine: Stores) -> None:
    """Files that a writer was about to commit for a tenant while that was taken away."""
    found = [name for name, _ in engine.files.list()]
    tenants = engine.ledger.tenant_ids()  # asked later: a tenant is there before its files
    strays = {name for name in found if name.partition("/")[0] not in tenants}
    engine.files.delete(strays - engine.ledger.referenced_files(strays))


def delete(engine: Stores, name: str) -> None:
    """Take a tenant away with everything it had; files that a fork shares stay for the fork.

    It is out of reach at once; a crash later on leaves work for `sweep`.
    """
    remove(engine, engine.ledger.delete_tenant(name).id)


def remove(engine: Stores, tenant: str) -> None:
    """A marked tenant's text, files and rows. The rows are last: they name what is to be done.

    A fork's files may lie in its parent's folder, and the parent be gone.
    """
    own = engine.ledger.begin_removal(tenant)
    found = {name for name, _ in engine.files.list(f"{tenant}/")}
    uncommitted = found - engine.ledger.referenced_files(found)
    engine.files.delete(own | uncommitted)
    engine.ledger.scrub()
    engine.ledger.remove_tenant(tenant)


@dataclass
class Verdict:
    """What looking at every file of a tenant found.

    Attributes:
        files: how many were read.
        damaged: those that were not what was written, and why.
        repaired: those that were made again from the documents.
    """

    files: int = 0
    damaged: dict[str, str] = field(default_factory=dict)
    repaired: list[str] = field(default_factory=list)


def verify(engine: Engine, log: TenantLog, on_step: OnStep = quiet) -> Verdict:
    """Read every file of a tenant's memory, and make damaged ones again from the log.

    Raises:
        FingerprintMismatchError: other weights made the memory.
        StorageError: the storage cannot be read at all, or refused to write.
    """
    from mplus_ray.model.store.shards import check_shard, read_checked

    engine.check(log)
    verdict = Verdict()
    with engine.lease(log) as lease:
        serving = log.heads.serving()
        bad_shards: list[Shard] = []
        bad_states: list[State] = []
        for shard in serving.shards:
            verdict.files += 1
            try:
                check_shard(engine.files, shard, serving.head.fingerprint)
            except DamagedFileError as error:
                verdict.damaged[shard.file] = error.reason
                bad_shards.append(shard)
        for state in serving.states:
            verdict.files += 1
            try:
                read_checked(engine.files, state.file, state.checksum)
            except DamagedFileError as error:
                verdict.damaged[state.file] = error.reason
                bad_states.append(state)
        if verdict.damaged:
            repair(engine, log, lease, bad_shards, bad_states, on_step)
            verdict.repaired = list(verdict.damaged)
    return verdict


def repair(
    engine: Engine,
    log: TenantLog,
    lease: Lease,
    shards: Sequence[Shard],
    states: Sequence[State],
    on_step: OnStep = quiet,
) -> None:
    """Make lost shards again from the documents; lost states are done without."""
    head = log.heads.serving().head
    if states:
        log.heads.commit(lease, head.id, step=head.step, history=head.history, drop_states=states)
    job = Job.of(log, lease)
    for shard in shards:
        made = remake(job, shard, engine.writer, engine.tokenizer, on_step)
        log.heads.replace_shards(lease, head.id, [shard], [made])
    purge(engine, log, lease)


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
