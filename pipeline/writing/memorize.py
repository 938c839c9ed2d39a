"""What some heads' logs have beyond their memories, memorized to its end in one call."""

from __future__ import annotations

from collections.abc import Sequence

from mplus_ray.pipeline.chunking.tokenizer import Tokenizer
from mplus_ray.pipeline.writing.write_job import (
    Ended,
    OnStep,
    OnTotal,
    WriteJob,
    WriterLike,
    quiet,
)
from mplus_ray.pipeline.writing.write_pipeline import MAX_BATCH, WritePipeline


def memorize(
    jobs: Sequence[WriteJob],
    writer: WriterLike,
    tokenizer: Tokenizer,
    on_step: OnStep = quiet,
    max_batch: int = MAX_BATCH,
    on_total: OnTotal = quiet,
) -> int:
    """Memorize and commit every waiting step of these heads; returns the number of steps.

    Args:
        on_step: called after each new step.
        on_total: called for each head before that, with the steps that it lacks.

    Raises:
        StaleLeaseError: another writer took a tenant over; its memory is in that one's hands.
        StorageError: the storage refused; everything committed so far stands.
    """
    steps = 0
    with WritePipeline(writer, tokenizer, on_step, max_batch) as pipeline:
        for job in jobs:
            if on_total is not quiet:
                on_total(job.log.tenant, job.waiting())
            pipeline.add(job)
        try:
            while pipeline:
                steps += _checked(pipeline.step())
        except KeyboardInterrupt:
            _checked(pipeline.finish())
            raise
    return steps


def _checked(ended: Sequence[Ended]) -> int:
    for job in ended:
        if job.error is not None:
            raise job.error
    return sum(job.steps for job in ended)
