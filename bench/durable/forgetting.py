"""One document forgotten in the middle of a memory: until it is masked, and until it is gone."""

from __future__ import annotations

import time
from typing import Any

from mplus_ray.bench.durable.restarts import QUESTION
from mplus_ray.bench.fixture import Library, tenant
from mplus_ray.pipeline.ledger.tenant_log import TenantLog
from mplus_ray.pipeline.maintenance.rebuild import carry_out_forgets
from mplus_ray.pipeline.maintenance.tenant_lifecycle import drop_rows
from mplus_ray.pipeline.reading.ask import ask
from mplus_ray.pipeline.reading.read_plans import read_plan
from mplus_ray.pipeline.workers.catch_up import catch_up
from mplus_ray.services.embedded import Embedded

REBUILT = "rebuilt"


def measure_forgetting(system: Embedded) -> dict[str, Any]:
    """The tenant's middle document; asked before, so that the reader is at work already."""
    log = tenant(system)
    documents = log.documents()
    middle = documents[len(documents) // 2]
    steps = range(middle.first_step, middle.end)
    question = log.text(middle.key)[:60]  # its own words, so that it is what would be named
    before = _named(system, log, question, steps)
    began = time.perf_counter()
    forget = log.forgets.request(middle.key)
    masked = time.perf_counter()
    # From here on every plan carries the mask; what a question then costs is the rest.
    plan = read_plan(log, log.heads.serving())
    planned = time.perf_counter()
    system.reader.open(plan)
    opened = time.perf_counter()
    after = _named(system, log, question, steps)
    answered = time.perf_counter()
    head = log.heads.serving().head.step
    rebuilding = time.perf_counter()
    (receipt,) = carry_out_forgets(system.engine, log)
    done = time.perf_counter()
    assert receipt.id == forget.receipt.id
    assert receipt.purged is not None
    return {
        "steps": head,
        "document_steps": len(steps),
        "first_step": steps.start,
        "named_before": before,
        "named_after": after,
        "request_ms": 1e3 * (masked - began),
        "unanswerable_ms": 1e3 * (opened - began),
        "of_that_plan_ms": 1e3 * (planned - masked),
        "of_that_view_ms": 1e3 * (opened - planned),
        "first_answer_without_it_ms": 1e3 * (answered - began),
        "receipt_seconds": done - rebuilding,
        "steps_memorized_again": log.heads.serving().head.step - steps.start,
    }


def measure_rebuild(system: Embedded, library: Library, tokens: int) -> dict[str, Any]:
    """A tenant that holds no rows, made again from its text."""
    log = tenant(system, REBUILT)
    library.fill(log, tokens)
    catch_up(system.engine, [log])
    drop_rows(system.engine, log)
    total = log.tokens()
    began = time.perf_counter()
    steps = catch_up(system.engine, [log])
    seconds = time.perf_counter() - began
    ask(log, system.reader, QUESTION, max_tokens=16)
    answered = time.perf_counter() - began
    nbytes = sum(shard.nbytes for shard in log.heads.serving().shards)
    return {
        "tokens": total,
        "steps": steps,
        "seconds": seconds,
        "seconds_to_answer": answered,
        "tokens_per_second": total / seconds,
        "row_bytes_per_token": nbytes / total,
        # Below this a link brings the rows more slowly than the network makes them.
        "loading_wins_above_mb_per_s": nbytes / seconds / 1e6,
    }


def _named(system: Embedded, log: TenantLog, question: str, steps: range) -> bool:
    """Whether an answer names a step of the document."""
    reply = ask(log, system.reader, question, max_tokens=4)
    return any(source.step in steps for source in reply.answer.sources)
