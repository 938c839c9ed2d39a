"""A memory looked at from outside: its digest, and whether it is the log's own."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from mplus_ray.actors.plans import ReadPlan
from mplus_ray.model.errors import DamagedFileError, InvalidInputError, StorageError
from mplus_ray.pipeline.chunking.headers import with_header
from mplus_ray.pipeline.chunking.tokenizer import Tokenizer
from mplus_ray.pipeline.ledger.heads.head import Serving, check_cover
from mplus_ray.pipeline.ledger.tenant_log import TenantLog
from mplus_ray.pipeline.reading.read_plans import read_plan
from mplus_ray.pipeline.writing.engine import Engine

if TYPE_CHECKING:
    from mplus_ray.model.memory.memory import Memory


class MemoryReader(Protocol):
    """A reader in this process."""

    def memory(self, plan: ReadPlan) -> Memory: ...


@dataclass(frozen=True)
class Digest:
    """One hash over all that a memory can answer from, after so many steps.

    Attributes:
        step: of the memory.
        digest: 32 hex digits.
    """

    step: int
    digest: str


def digest(log: TenantLog, reader: MemoryReader, as_of: int | None = None) -> Digest:
    """Hash a tenant's memory, as it is or as it was after `as_of` steps.

    Raises:
        InvalidInputError: the memory was never at that step.
        DamagedFileError: a file is missing or not what was written.
    """
    from mplus_ray.model.memory.digest import digest as hash_of

    while True:
        serving = log.heads.serving()
        plan = read_plan(log, serving, as_of)
        try:
            return Digest(plan.step, hash_of(reader.memory(plan)))
        except DamagedFileError:
            if log.heads.serving().shards == serving.shards:
                raise  # otherwise it was compacted or replaced while it was read


def history_at(log: TenantLog, tokenizer: Tokenizer, step: int) -> str:
    """Hash chain of the log's first `step` chunks, in hex: what a head there has to say.

    It goes on from the last state before `step`, so few chunks are read.

    Args:
        tokenizer: of the weights that made the memory.
    """
    states = [state for state in log.heads.serving().states if state.step <= step]
    first, history = (states[-1].step, states[-1].history) if states else (0, "")
    return dict(_chain(log, tokenizer, first, history, step))[step]


def check_log(engine: Engine, log: TenantLog, reader: MemoryReader) -> list[str]:
    """What is wrong with a tenant whose files are whole: empty, if nothing is.

    Compares every document with its hash, the hash chain of the chunks with those that the head
    and its states name, and the memory's steps with the head's.
    """
    with engine.lease(log):
        serving = log.heads.serving()
        return [
            *_texts(log),
            *_histories(log, engine.tokenizer, serving),
            *_steps(log, reader, serving),
        ]


def _texts(log: TenantLog) -> Iterator[str]:
    step = 0
    for document in log.documents():
        if document.first_step != step:
            yield f"{document.key} begins at step {document.first_step}, not at {step}"
        step = document.end
        if document.forget is not None:
            continue
        text = log.text(document.key)
        if hashlib.sha256(text.encode()).hexdigest() != document.sha256:
            yield f"the text of {document.key} is not the one that was taken in"


def _histories(log: TenantLog, tokenizer: Tokenizer, serving: Serving) -> Iterator[str]:
    head = serving.head
    named = {**{state.step: state.history for state in serving.states}, head.step: head.history}
    try:
        chain = dict(_chain(log, tokenizer, 0, "", head.step))
    except StorageError as error:
        yield str(error)
        return
    for step, history in named.items():
        if chain.get(step) != history:
            yield (
                f"the memory at step {step} is not of the log's first {step} chunks; "
                "`mplus rebuild` makes it again"
            )


def _steps(log: TenantLog, reader: MemoryReader, serving: Serving) -> Iterator[str]:
    step = serving.head.step
    try:
        check_cover(serving.shards, 0, step, gaps=True)
    except InvalidInputError as error:
        yield str(error)
        return
    memory = reader.memory(read_plan(log, serving))
    if not serving.whole and not memory.membership.forgets:
        yield "the head names no file for some of its steps; `mplus rebuild` makes them again"
    if memory.membership.step != step or memory.store.steps != step:
        yield (
            f"the head is at step {step}, its index sets at {memory.membership.step}, its rows "
            f"at {memory.store.steps}"
        )


def _chain(
    log: TenantLog, tokenizer: Tokenizer, first: int, history: str, end: int
) -> Iterator[tuple[int, str]]:
    """(step, hash chain there) from `first`, where it is `history`, up to `end`."""
    from mplus_ray.model.memory.memory import link

    yield first, history
    at = bytes.fromhex(history)
    for chunk in log.chunks(first) if first < end else ():
        at = link(at, with_header(tokenizer, chunk.heading, chunk.text))
        yield chunk.step + 1, at.hex()
        if chunk.step + 1 == end:
            return
