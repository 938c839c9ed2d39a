"""Heads that are built beside the serving one: a log without a document, or another model.

Everything here can be interrupted at any point and called again: what was asked for is in the
ledger, and a head that is half built goes on from its last commit.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from mplus_ray.model.errors import BehindError
from mplus_ray.model.store.file_refs import Shard
from mplus_ray.pipeline.chunking.chunker import Span
from mplus_ray.pipeline.chunking.headers import Headings, cut
from mplus_ray.pipeline.ledger.documents.forget_requests import Receipt
from mplus_ray.pipeline.ledger.heads.head import Serving
from mplus_ray.pipeline.ledger.heads.leases import Lease
from mplus_ray.pipeline.ledger.heads.rechunk import cut_rest
from mplus_ray.pipeline.ledger.tenant_log import TenantLog
from mplus_ray.pipeline.writing.engine import Engine, Stores
from mplus_ray.pipeline.writing.write_job import Job, OnStep, quiet
from mplus_ray.pipeline.writing.write_pipeline import memorize


def settle(engine: Engine, log: TenantLog, on_step: OnStep = quiet) -> list[Receipt]:
    """Carry out every forgetting that was asked for; returns the receipts that are complete now.

    The tenant is rebuilt without the documents from the last state before the first of them; the
    new head takes over in one commit; then files and text are purged.

    Raises:
        FingerprintMismatchError: other weights made the memory; the documents stay masked.
    """
    forgets = log.forgets
    if not forgets.pending():
        return []
    engine.check(log)
    with engine.lease(log) as lease:
        waiting = [forget for forget in forgets.pending() if forget.receipt.rebuilt is None]
        if waiting:
            excluded = [forget.document for forget in waiting]
            _prepare(engine, log, lease, excluded)
            _finish(engine, log, lease, on_step)
        purge(engine, log, lease)
        engine.ledger.scrub()
        done = [forget.receipt.id for forget in forgets.pending() if forget.receipt.rebuilt]
        forgets.mark_purged(done)
    return [forgets.get(number).receipt for number in done]


def upgrade(
    engine: Engine, log: TenantLog, chunk_tokens: int, step_bytes: int, on_step: OnStep = quiet
) -> None:
    """Memorize a tenant's log again with the loaded weights; the old memory serves meanwhile.

    The log is cut anew, as the loaded model wants it; what waits to be forgotten is left out.

    Args:
        chunk_tokens: tokens of a chunk of the loaded model.
        step_bytes: what a step's rows take with it.
    """
    with engine.lease(log) as lease:
        building = log.heads.building()
        ours = building is not None and building.head.reason == "upgrade"
        if building is None or not ours or building.head.fingerprint != engine.fingerprint:
            waiting = [f.document for f in log.forgets.pending() if f.receipt.rebuilt is None]
            log.heads.begin_build(
                lease, fingerprint=engine.fingerprint, reason="upgrade", excluded=waiting
            )
        while not _upgraded(engine, log, lease, chunk_tokens, on_step):
            pass  # documents came while the last ones were memorized
        log.set_step_bytes(step_bytes)
        purge(engine, log, lease)
    settle(engine, log, on_step)


def _upgraded(
    engine: Engine, log: TenantLog, lease: Lease, chunk_tokens: int, on_step: OnStep
) -> bool:
    """Memorize what the building head has not seen, and let it serve if that was all."""

    def cut_document(text: str, headings: Headings) -> list[Span]:
        return cut(text, headings, engine.tokenizer, chunk_tokens)

    building = log.heads.building()
    assert building is not None
    head = building.head
    cut_rest(log.scope, lease, head.id, head.excluded, cut_document)
    memorize([Job.of(log, lease, building=True)], engine.writer, engine.tokenizer, on_step)
    try:
        log.heads.swap(lease, head.id)
    except BehindError:
        return False
    return True


def fork_at(
    engine: Stores,
    log: TenantLog,
    lease: Lease,
    name: str,
    step: int | None = None,
    history: str | None = None,
) -> TenantLog:
    """See `Ledger.fork_tenant`; a shard that the fork cuts is copied as far as it is wanted."""
    serving = log.heads.serving()
    at = serving.head.step if step is None else step
    if history is None and at != serving.head.step:
        state = serving.state_at(at)
        at = state.step if state else 0
    beyond = [shard for shard in serving.shards if shard.first_step < at < shard.end]
    last = _up_to(engine, log, lease, serving, at)[-1] if beyond else None
    return engine.ledger.fork_tenant(log, name, step, history, last)


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


def _prepare(engine: Engine, log: TenantLog, lease: Lease, excluded: Sequence[str]) -> None:
    """A building head that shares with the serving one what lies before the documents."""
    building = log.heads.building()
    ours = building is not None and building.head.reason == "forget"
    if building is not None and ours and set(building.head.excluded) == set(excluded):
        return
    if building is not None:
        log.heads.drop_build(lease)
    serving = log.heads.serving()
    cut = min([serving.head.step, *(first for first, _ in serving.masks)])
    # With fewer steps, rows that are forgotten by now would not be: if some are gone, begin anew.
    states = [state for state in serving.states if state.step <= cut and serving.whole]
    step = states[-1].step if states else 0
    log.heads.begin_build(
        lease,
        fingerprint=serving.head.fingerprint,
        reason="forget",
        excluded=excluded,
        step=step,
        history=states[-1].history if states else "",
        shards=_up_to(engine, log, lease, serving, step),
        states=states,
    )


def _up_to(
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


def _finish(engine: Engine, log: TenantLog, lease: Lease, on_step: OnStep) -> None:
    """Bring the building head up to the log and let it serve."""
    job = Job.of(log, lease, building=True)
    memorize([job], engine.writer, engine.tokenizer, on_step)
    log.heads.swap(lease, job.plan.head)
