"""Tenants are told documents one after the other, and asked about each of them so much later.

A memory is a value, so one log serves every distance: a question stands at the step at which so
many tokens have followed its document, and nothing is written twice.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from mplus_ray.model.errors import InvalidInputError
from mplus_ray.model.evaluation.data.questions import Question
from mplus_ray.model.memory.memory import Memory
from mplus_ray.model.mplus import MPlus

Advance = Callable[[int], None]  # called with tokens that were memorized


@dataclass(frozen=True)
class Chunk:
    """What one step reads.

    Attributes:
        text: its words.
        ids: its tokens, header included.
    """

    text: str
    ids: Sequence[int]


@dataclass(frozen=True)
class ToldDocument:
    """Chunks, and what is asked about them.

    Attributes:
        chunks: in order.
        questions: asked after each distance.
    """

    chunks: Sequence[Chunk]
    questions: Sequence[Question] = ()


@dataclass(frozen=True)
class Due:
    """A document whose questions are to be asked now.

    Attributes:
        memory: of the tenant, `distance` tokens (or the rest of a chunk more) after the document.
        first: the document's first step; its last one is first + len(document.chunks) - 1.
        log: every chunk that the tenant was ever told; those of `memory` are the first
            `memory.step` of them.
        tenant: its number.
        distance: tokens since the document.
        document: the one asked about.
    """

    tenant: int
    memory: Memory
    distance: int
    document: ToldDocument
    first: int
    log: Sequence[Chunk]

    @property
    def steps(self) -> range:
        """The document's own."""
        return range(self.first, self.first + len(self.document.chunks))


@dataclass
class _Tenant:
    """One log being written."""

    memory: Memory
    documents: Iterator[ToldDocument]
    others: Iterator[ToldDocument]
    waiting: int  # documents with questions that are not told yet
    log: list[Chunk] = field(default_factory=list)
    tokens: int = 0
    current: ToldDocument | None = None
    told: int = 0  # chunks of the current document
    due: list[tuple[int, int, int, ToldDocument]] = field(default_factory=list)  # a heap

    @property
    def finished(self) -> bool:
        return self.waiting == 0 and not self.due

    def next_chunk(self) -> Chunk:
        if self.current is None:
            self.current = next(self.documents, None) or next(self.others)
        return self.current.chunks[self.told]

    def advance(self, memory: Memory, distances: Sequence[int]) -> None:
        assert self.current is not None
        chunk = self.current.chunks[self.told]
        self.memory = memory
        self.log.append(chunk)
        self.tokens += len(chunk.ids)
        self.told += 1
        if self.told < len(self.current.chunks):
            return
        if self.current.questions:
            self.waiting -= 1
            first = len(self.log) - self.told
            for distance in distances:
                heapq.heappush(self.due, (self.tokens + distance, first, distance, self.current))
        self.current, self.told = None, 0


def tell(
    mplus: MPlus,
    logs: Sequence[Sequence[ToldDocument]],
    others: Sequence[Iterable[ToldDocument]],
    distances: Sequence[int],
    seed: int = 0,
    advance: Advance = lambda tokens: None,
) -> Iterator[Due]:
    """Tell each tenant its documents and then others, until the last question was due.

    Args:
        logs: of each tenant, the documents in order, those with questions and those without.
        others: of each tenant, endless text to follow.
        distances: in tokens of whatever the tenant is told after the document, ≥ 0.

    Yields:
        Documents as they become due, each at every distance.

    Raises:
        InvalidInputError: there is not enough other text.
    """
    tenants = [
        _Tenant(
            mplus.empty_memory(seed=seed * len(logs) + number),
            iter(documents),
            iter(other),
            sum(bool(document.questions) for document in documents),
        )
        for number, (documents, other) in enumerate(zip(logs, others, strict=True))
    ]
    while active := [tenant for tenant in tenants if not tenant.finished]:
        try:
            chunks = [tenant.next_chunk() for tenant in active]
        except StopIteration:
            raise InvalidInputError(
                "there is not enough other text to tell between documents and questions; ask at "
                "smaller --tokens, or give more text"
            ) from None
        memories = mplus.memorize_chunks([t.memory for t in active], [c.ids for c in chunks])
        for tenant, memory in zip(active, memories, strict=True):
            tenant.advance(memory, distances)
        advance(sum(len(chunk.ids) for chunk in chunks))
        for number, tenant in enumerate(tenants):
            while tenant.due and tenant.due[0][0] <= tenant.tokens:
                _, first, distance, document = heapq.heappop(tenant.due)
                yield Due(number, tenant.memory, distance, document, first, tenant.log)
