"""Heads that are built beside the serving one: a log without a document, or another model.

Everything here can be interrupted at any point and called again: what was asked for is in the
ledger, and a head that is half built goes on from its last commit.
"""

from __future__ import annotations

from collections.abc import Sequence

from mplus_ray.model.errors import BehindError
from mplus_ray.pipeline.chunking.chunker import Span, chunk_document
from mplus_ray.pipeline.chunking.headers import Headings
from mplus_ray.pipeline.ledger.documents.forget_requests import Receipt
from mplus_ray.pipeline.ledger.heads.leases import Lease
from mplus_ray.pipeline.ledger.heads.rechunk import rechunk
from mplus_ray.pipeline.ledger.tenant_log import TenantLog
from mplus_ray.pipeline.maintenance.head_files import purge, shards_up_to, shards_without
from mplus_ray.pipeline.writing.engine import Engine
from mplus_ray.pipeline.writing.memorize import memorize
from mplus_ray.pipeline.writing.write_job import OnStep, OnTotal, WriteJob, quiet


def carry_out_forgets(
    engine: Engine, log: TenantLog, on_step: OnStep = quiet, on_total: OnTotal = quiet
) -> list[Receipt]:
    """Carry out every forgetting that was asked for; returns the receipts that are complete now.

    The tenant is rebuilt without the documents from the last state before the first of them, or
    without memorizing anything where no chunk was read with another; the new head takes over in
    one commit; then files and text are purged.

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
            _finish(engine, log, lease, on_step, on_total)
        purge(engine, log, lease)
        engine.ledger.scrub()
        done = [forget.receipt.id for forget in forgets.pending() if forget.receipt.rebuilt]
        forgets.mark_purged(done)
    return [forgets.get(number).receipt for number in done]


def upgrade(
    engine: Engine,
    log: TenantLog,
    step_bytes: int,
    on_step: OnStep = quiet,
    on_total: OnTotal = quiet,
) -> None:
    """Memorize a tenant's log again with the loaded weights; the old memory serves meanwhile.

    The log is cut anew, as the loaded model wants it; what waits to be forgotten is left out.

    Args:
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
        while not _upgraded(engine, log, lease, on_step, on_total):
            pass  # documents came while the last ones were memorized
        log.set_step_bytes(step_bytes)
        purge(engine, log, lease)
    carry_out_forgets(engine, log, on_step, on_total)


def _upgraded(
    engine: Engine, log: TenantLog, lease: Lease, on_step: OnStep, on_total: OnTotal
) -> bool:
    """Memorize what the building head has not seen, and let it serve if that was all."""

    def cut_document(text: str, headings: Headings) -> list[Span]:
        return chunk_document(text, headings, engine.tokenizer)

    building = log.heads.building()
    assert building is not None
    head = building.head
    rechunk(log.scope, lease, head.id, head.excluded, cut_document)
    job = WriteJob.of(log, lease, building=True)
    memorize([job], engine.writer, engine.tokenizer, on_step, on_total=on_total)
    try:
        log.heads.swap(lease, head.id)
    except BehindError:
        return False
    return True


def _prepare(engine: Engine, log: TenantLog, lease: Lease, excluded: Sequence[str]) -> None:
    """A building head that shares with the serving one what lies before the documents."""
    building = log.heads.building()
    ours = building is not None and building.head.reason == "forget"
    if building is not None and ours and set(building.head.excluded) == set(excluded):
        return
    if building is not None:
        log.heads.drop_build(lease)
    serving = log.heads.serving()
    if log.tenant.independent_steps and serving.whole:
        # No chunk was read with another: the rows that stay are what they would have been.
        left_out = log.heads.steps_of(serving.head, excluded)
        kept, history = shards_without(engine, log, lease, serving, left_out)
        log.heads.begin_build(
            lease,
            fingerprint=serving.head.fingerprint,
            reason="forget",
            excluded=excluded,
            step=kept[-1].end if kept else 0,
            history=history,
            shards=kept,
        )
        return
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
        shards=shards_up_to(engine, log, lease, serving, step),
        states=states,
    )


def _finish(
    engine: Engine, log: TenantLog, lease: Lease, on_step: OnStep, on_total: OnTotal
) -> None:
    """Bring the building head up to the log and let it serve."""
    job = WriteJob.of(log, lease, building=True)
    memorize([job], engine.writer, engine.tokenizer, on_step, on_total=on_total)
    log.heads.swap(lease, job.plan.head)
