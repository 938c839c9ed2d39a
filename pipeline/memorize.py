"""The log to memory: what a tenant's memory lacks is memorized in order, tenants together."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from actors.writer import WriteRequest
from model.errors import StorageError
from pipeline.chunk import Tokenizer
from pipeline.tenant_log import Chunk, Tenant, TenantLog

MAX_BATCH = 8  # tenants in one forward pass


OnStep = Callable[[Tenant, int], None]  # (whose, its tokens), after each step


class WriterLike(Protocol):
    """The writer here or in an actor."""

    def open(self, tenant: str, seed: int) -> int: ...

    def memorize(self, requests: Sequence[WriteRequest]) -> list[int]: ...

    def save(self) -> None: ...


@dataclass
class _Work:
    tenant: Tenant
    chunks: Iterator[Chunk]


def memorize(
    logs: Sequence[TenantLog],
    writer: WriterLike,
    tokenizer: Tokenizer,
    on_step: OnStep = lambda tenant, tokens: None,
    max_batch: int = MAX_BATCH,
) -> int:
    """Memorize every waiting step of these tenants and save; returns the number of steps.

    Interrupted at any point, a later call goes on where the last saving was: the log says what
    is to be done and the memory how far it is.
    """
    waiting = deque(_begin(log, writer) for log in logs)
    steps = 0
    try:
        while batch := _next_batch(waiting, tokenizer, max_batch):
            writer.memorize([request for _, request in batch])
            steps += len(batch)
            for work, request in batch:
                on_step(work.tenant, len(request.token_ids))
    except KeyboardInterrupt:
        writer.save()
        raise
    writer.save()
    return steps


def _begin(log: TenantLog, writer: WriterLike) -> _Work:
    tenant = log.tenant
    step = writer.open(tenant.id, tenant.seed)
    length = log.length()
    if step > length:
        raise StorageError(
            f"the memory of tenant {tenant.name!r} has {step} steps, its log only {length}; "
            "put back the ledger it was made from, or remove the tenant's memory folder to make "
            "it anew from the log"
        )
    return _Work(tenant, log.chunks(from_step=step))


def _next_batch(
    waiting: deque[_Work], tokenizer: Tokenizer, size: int
) -> list[tuple[_Work, WriteRequest]]:
    """The next step of up to `size` tenants, in turn; tenants without one leave."""
    batch: list[tuple[_Work, WriteRequest]] = []
    for _ in range(len(waiting)):
        if len(batch) == size:
            break
        work = waiting.popleft()
        chunk = next(work.chunks, None)
        if chunk:
            ids = tokenizer.encode(chunk.text)
            batch.append((work, WriteRequest(work.tenant.id, chunk.step, ids)))
            waiting.append(work)
    return batch
