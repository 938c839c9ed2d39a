"""A search, and the passages that it found."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from mplus_ray.services.api.schemas.base import Name, Request, Response, example
from mplus_ray.services.api.schemas.filters import DocumentFilter
from mplus_ray.services.api.schemas.query import Passage

MOST_RESULTS = 100


class Search(Request):
    """A search of the key's tenant."""

    model_config = example({"query": "Where does Maren Tolva live?", "limit": 10})

    query: str = Field(
        min_length=1,
        description="In plain words; a question finds what an answer to it would draw on.",
        examples=["Where does Maren Tolva live?"],
    )
    limit: int = Field(10, ge=1, le=MOST_RESULTS, description="So many passages at most.")
    min_score: float | None = Field(
        None,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="Passages with a lower score are left out.",
    )
    filter: DocumentFilter | None = Field(
        None, description="Search these documents only; by default all."
    )
    min_step: int | None = Field(
        None, ge=0, lt=1 << 62, description="Wait for a memory of at least so many steps."
    )
    as_of: Annotated[int, Field(ge=0, lt=1 << 62)] | str | None = Field(
        None,
        description="Search an earlier moment: a step, or an ISO 8601 time (UTC if it names no "
        "offset).",
        examples=[120, "2026-03-01"],
    )
    snapshot: Name | None = Field(None, description="The same, by the name of a snapshot.")

    @model_validator(mode="after")
    def _one_moment(self) -> Self:
        given = [self.as_of is not None, self.snapshot is not None, self.min_step is not None]
        if sum(given) > 1:
            raise ValueError("as_of, snapshot and min_step exclude one another; give one of them")
        return self


class Why(Response):
    """Why a passage was found."""

    vote: float = Field(
        description="Of all that votes, as log-odds; it ranks the passages of one search and is "
        "comparable within it only."
    )
    words: list[str] = Field(
        description="Words of the query that the passage or its headings have, in any form."
    )


class Hit(Passage):
    """A passage that was found."""

    score: float | None = Field(
        description="From 0 to 1, the probability that the passage holds what was asked; null "
        "where the checkpoint has no fitted relevance."
    )
    why: Why


class SearchResults(Response):
    """What memory has on a query, the best first."""

    model_config = example(
        {
            "results": [
                {
                    "document_id": "people/maren",
                    "title": "Maren",
                    "section": None,
                    "source": "people/maren",
                    "start": 0,
                    "end": 28,
                    "text": "Maren Tolva lives in Dorvas.",
                    "step": 1,
                    "score": 0.91,
                    "why": {"vote": 6.2, "words": ["maren", "tolva", "live"]},
                }
            ],
            "votes": "words",
            "step": 1,
            "waiting": 0,
        }
    )

    results: list[Hit]
    votes: Literal["layers", "words", "both"] = Field(
        description="What votes for passages in this checkpoint: the retriever of its layers, the "
        "words of the query, or both."
    )
    step: int = Field(description="The memory after so many steps was searched.")
    waiting: int = Field(description="Steps of the log that are not memorized yet.")
