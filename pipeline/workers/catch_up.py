"""Tenants brought up to their logs: what waits is memorized, what was to be forgotten is gone."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

from mplus_ray.pipeline.ledger.tenant_log import TenantLog
from mplus_ray.pipeline.maintenance.compaction import compact, drop_forgotten
from mplus_ray.pipeline.maintenance.rebuild import carry_out_forgets
from mplus_ray.pipeline.writing.engine import Engine
from mplus_ray.pipeline.writing.memorize import memorize
from mplus_ray.pipeline.writing.write_job import OnStep, WriteJob, quiet


def catch_up(engine: Engine, logs: Sequence[TenantLog], on_step: OnStep = quiet) -> int:
    """Memorize what waits for these tenants, together, and carry out what they asked to forget.

    Returns the number of steps memorized.

    Raises:
        FingerprintMismatchError: a tenant's memory is of other weights; nothing was done.
        StorageError: the storage refused; everything committed so far stands.
    """
    for log in logs:
        engine.check(log)
        log.forgets.expire()
    with ExitStack() as leases:
        # In one order, so that two callers with the same tenants do not wait for each other.
        ordered = sorted(logs, key=lambda log: log.tenant.id)
        jobs = [WriteJob.of(log, leases.enter_context(engine.lease(log))) for log in ordered]
        steps = memorize(jobs, engine.writer, engine.tokenizer, on_step)
    for log in logs:
        carry_out_forgets(engine, log)
        if compact(engine, log):
            drop_forgotten(engine, log)
    return steps


def is_cold(log: TenantLog) -> bool:
    """Whether a memory was dropped that the log can make again."""
    if log.heads.serving().head.step:
        return False
    return any(document.memorized is not None for document in log.documents(limit=1))
