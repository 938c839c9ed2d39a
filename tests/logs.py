"""What tests of the ledger put into it: documents whose chunks name themselves, and file names."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from mplus_ray.model.store.file_refs import Shard, State
from mplus_ray.pipeline.chunking.chunker import Span
from mplus_ray.pipeline.ledger.heads.tenant_heads import Head, Lease
from mplus_ray.pipeline.ledger.tenant_log import Accepted, TenantLog
from mplus_ray.pipeline.parsing.document import ParsedDocument


@dataclass
class Clock:
    """Seconds that pass when a test says so."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def words(key: str, count: int) -> list[str]:
    """The chunks of a document that `put` makes."""
    return [f"{key}.{number}" for number in range(count)]


def put(log: TenantLog, key: str, count: int = 2, version: str = "") -> Accepted:
    """Append a document of `count` chunks, one token each."""
    texts = words(key + version, count)
    spans, start = [], 0
    for piece in texts:
        spans.append(Span(start, start + len(piece), 1))
        start += len(piece) + 1
    return log.append(ParsedDocument(key.upper(), " ".join(texts)), f"{key}.txt", spans, key)


def shard(first: int, end: int, file: str | None = None) -> Shard:
    return Shard(file or f"rows-{uuid.uuid4().hex}", "sum", first, end - first, 100, (0, 8, 16))


def state(step: int) -> State:
    return State(f"state-{uuid.uuid4().hex}", "sum", step, 10, f"{step:032x}")


def history(step: int) -> str:
    """A stand-in for the hash chain at `step`."""
    return f"{step:032x}" if step else ""


def memorize(log: TenantLog, lease: Lease, ends: Sequence[int], head: Head | None = None) -> Head:
    """Commit a shard and a state up to each of these steps."""
    at = head or log.heads.serving().head
    for end in ends:
        at = log.heads.commit(
            lease,
            at.id,
            step=end,
            history=history(end),
            shards=[shard(at.step, end)],
            states=[state(end)],
        ).head
    return at


def build_without(log: TenantLog, lease: Lease, keys: Sequence[str]) -> Head:
    """Forget documents and memorize the rest from the start in a building head."""
    excluded = [log.forgets.request(key).document for key in keys]
    head = log.heads.begin_build(lease, fingerprint="f1", reason="forget", excluded=excluded)
    length = log.length(excluded)
    return memorize(log, lease, [length] if length else [], head)
