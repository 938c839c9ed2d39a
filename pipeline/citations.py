"""Retrieved steps to the passages they were made from. Attribution, not proof."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from mplus_ray.pipeline.ledger.documents.documents import Passage
from mplus_ray.pipeline.ledger.tenant_log import TenantLog


class Source(Protocol):
    """A step that an answer drew on, as the model ranks it."""

    @property
    def step(self) -> int: ...

    @property
    def score(self) -> float: ...


@dataclass(frozen=True)
class Citation:
    """A passage and the retriever's score of its rows."""

    passage: Passage
    score: float


def cite(sources: Iterable[Source], log: TenantLog, head: str | None = None) -> list[Citation]:
    """Sources as passages, in their order.

    Args:
        head: id of the head that the steps are counted in.

    Raises:
        SwappedError: another head serves now.
    """
    named = list(sources)
    passages = log.passages_at([source.step for source in named], head)
    return [Citation(passage, each.score) for passage, each in zip(passages, named, strict=True)]
