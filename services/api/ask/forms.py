"""Forms filled over HTTP: the fields of a round are asked at once, some at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from mplus_ray.actors.messages import AskResult
from mplus_ray.model.errors import MPlusError
from mplus_ray.model.structured.field import FieldQuestion, step
from mplus_ray.pipeline.reading.abstention import AskOutcome
from mplus_ray.pipeline.reading.forms import (
    FieldReading,
    FilledForm,
    NamedForm,
    filled_form,
    filling_of,
)

_AT_ONCE = 8  # fields of one request that are read together, so that others get their turn


async def fill(
    forms: Sequence[NamedForm], read: Callable[[FieldQuestion], Awaitable[AskOutcome]]
) -> tuple[FilledForm, AskResult]:
    """Fill the form of which memory has most.

    Args:
        read: asks memory for a field.

    Raises:
        MPlusError: a field could not be read; the others are given up.
    """
    places = asyncio.Semaphore(_AT_ONCE)
    readings: list[FieldReading] = []

    async def one(asked: FieldQuestion) -> FieldReading:
        async with places:
            return FieldReading(asked, await read(asked))

    filling = filling_of(forms)
    questions, results = await asyncio.to_thread(step, filling, None)
    while results is None:
        told = await _all([one(each) for each in questions])
        readings += told
        answers = [each.answer() for each in told]
        questions, results = await asyncio.to_thread(step, filling, answers)
    return filled_form(forms, results, readings)


async def _all(reading: Sequence[Awaitable[FieldReading]]) -> list[FieldReading]:
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_of(each)) for each in reading]
    except* MPlusError as failed:
        raise failed.exceptions[0] from None
    return [task.result() for task in tasks]


async def _of(reading: Awaitable[FieldReading]) -> FieldReading:
    return await reading
