"""Damaged files of a memory are found, and made again from its documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from mplus_ray.model.errors import DamagedFileError
from mplus_ray.model.store.file_refs import Shard, State
from mplus_ray.pipeline.ledger.heads.leases import Lease
from mplus_ray.pipeline.ledger.tenant_log import TenantLog
from mplus_ray.pipeline.maintenance.head_files import purge
from mplus_ray.pipeline.writing.engine import Engine
from mplus_ray.pipeline.writing.write_job import OnStep, WriteJob, quiet, rewrite_shard


@dataclass
class VerifyReport:
    """What looking at every file of a tenant found.

    Attributes:
        files: how many were read.
        damaged: those that were not what was written, and why.
        repaired: those that were made again from the documents.
    """

    files: int = 0
    damaged: dict[str, str] = field(default_factory=dict)
    repaired: list[str] = field(default_factory=list)


def verify(engine: Engine, log: TenantLog, on_step: OnStep = quiet) -> VerifyReport:
    """Read every file of a tenant's memory, and make damaged ones again from the log.

    Raises:
        FingerprintMismatchError: other weights made the memory.
        StorageError: the storage cannot be read at all, or refused to write.
    """
    from mplus_ray.model.store.shards import check_shard, read_checked

    engine.check(log)
    verdict = VerifyReport()
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
    job = WriteJob.of(log, lease)
    for shard in shards:
        made = rewrite_shard(job, shard, engine.writer, engine.tokenizer, on_step)
        log.heads.replace_shards(lease, head.id, [shard], [made])
    purge(engine, log, lease)
