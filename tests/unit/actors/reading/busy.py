"""Readers at work: when they are idle, and how little room they can do with."""

from __future__ import annotations

from mplus_ray.actors.plans import ReadPlan
from mplus_ray.actors.reading.engine import Answering
from tests.readers import (
    PATIENCE,
    Tenants,
    answering,
)

LONG = 3000  # tokens of an answer that is not done before a test is


def tight(tenants: Tenants, plans: list[ReadPlan]) -> dict[str, int]:
    """Room for the largest memory with its longest question, and hardly more."""
    with answering(tenants.model, tenants.files) as engine:
        footprint = engine._admission.memories.footprint
        needs = [footprint.rows(p) + footprint.view(p) + footprint.question(400, 20) for p in plans]
    return {
        "device_bytes": max(need.device for need in needs),
        "host_bytes": max(need.host for need in needs),
    }


def idle(engine: Answering) -> None:
    """Wait until nothing runs, waits or is being opened."""

    def nothing() -> bool:
        at_work = engine._running or engine._aside or len(engine._searches)
        return not (at_work or engine._admission.memories.count()[2])

    with engine._changed:
        while not nothing():
            assert engine._changed.wait(PATIENCE), "it is busy for ever"
