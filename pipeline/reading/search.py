"""A search of a tenant's memory: the passages that an answer would draw on, without an answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from mplus_ray.actors.plans import ReadPlan
from mplus_ray.model.errors import DamagedFileError, InvalidInputError
from mplus_ray.model.index.stems import shared_words
from mplus_ray.pipeline.ledger.documents.documents import ChunkPassage
from mplus_ray.pipeline.ledger.filters.filter import Filter
from mplus_ray.pipeline.ledger.heads.replaced import attempts, check_damage
from mplus_ray.pipeline.ledger.tenant_log import TenantLog
from mplus_ray.pipeline.reading.read_plans import read_plan

if TYPE_CHECKING:
    from mplus_ray.actors.messages import SearchResult


class SearcherLike(Protocol):
    """The reader here or in an actor."""

    def search(self, plan: ReadPlan, query: str, limit: int) -> SearchResult: ...


@dataclass(frozen=True)
class Hit:
    """A passage that was found, and why.

    Attributes:
        passage: the text and where it stands.
        score: from 0 to 1, the probability that it holds what was asked; None where the
            checkpoint has no fitted relevance.
        vote: that ranks it, as log-odds; comparable within one search only.
        words: of the query, that the passage or its headings have in any form.
    """

    passage: ChunkPassage
    score: float | None
    vote: float
    words: tuple[str, ...]


@dataclass(frozen=True)
class SearchReply:
    """What a search found.

    Attributes:
        hits: the best first.
        votes: what voted: "layers", "words" or "both".
        step: of the memory that was searched.
        waiting: steps of the log that are not memorized yet.
    """

    hits: list[Hit]
    votes: str
    step: int
    waiting: int


def search(
    log: TenantLog,
    reader: SearcherLike,
    query: str,
    limit: int = 10,
    as_of: int | None = None,
    min_score: float | None = None,
    wanted: Filter | None = None,
) -> SearchReply:
    """Search a tenant's memory.

    Args:
        wanted: the documents that are searched; None: all.
        as_of: the memory as it was after so many steps.
        min_score: hits with a lower score are left out.

    Raises:
        InvalidInputError: the query is empty, or `min_score` is given where there are no scores.
        DamagedFileError: a file of the memory is lost.
        SwappedError: the memory was replaced each time.
    """
    if log.tenant.cold_after is not None:
        log.touch()
    for attempt in attempts():
        with attempt:
            log.forgets.expire()
            plan = read_plan(log, log.heads.serving(), as_of, wanted)
            try:
                result = reader.search(plan, query, limit)
            except DamagedFileError as error:
                check_damage(error, read_plan(log, log.heads.serving(), as_of))
                raise
            return to_reply(log, plan, result, query, min_score)
    raise AssertionError("the last attempt returns or raises")


def to_reply(
    log: TenantLog, plan: ReadPlan, result: SearchResult, query: str, min_score: float | None
) -> SearchReply:
    """What a reader found, with its passages.

    Raises:
        InvalidInputError: `min_score` is given where there are no scores.
        SwappedError: another head than the plan's serves now.
    """
    found = result.found
    if min_score is not None:
        if any(one.score is None for one in found):
            raise InvalidInputError(
                "this checkpoint has no fitted relevance, so its searches have no scores; leave "
                "min_score out, or fit one with `mplus eval relevance`"
            )
        found = tuple(one for one in found if one.score is not None and one.score >= min_score)
    passages = log.passages_at([one.step for one in found], plan.head)
    hits = [
        Hit(passage, one.score, one.vote, _words(query, passage))
        for one, passage in zip(found, passages, strict=True)
    ]
    return SearchReply(hits, result.votes, plan.step, log.waiting())


def _words(query: str, passage: ChunkPassage) -> tuple[str, ...]:
    return shared_words(query, (passage.title, passage.section or "", passage.text))
