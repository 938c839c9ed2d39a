"""A question, and its answer with the passages that it draws on."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from mplus_ray.pipeline.ledger.filters.filter import Filter
from mplus_ray.services.api.schemas.base import Name, Request, Response, example
from mplus_ray.services.api.schemas.filters import DocumentFilter

Stop = Annotated[str, StringConstraints(min_length=1, max_length=100)]
Citations = Annotated[int, Field(ge=0, le=20)]


class Question(Request):
    """What is asked of the key's tenant, and how the answer is to be."""

    question: str = Field(min_length=1, examples=["Where does Maren Tolva live?"])
    max_tokens: int = Field(64, ge=1, description="Longest answer.")
    temperature: float = Field(
        0.0, ge=0, le=100, allow_inf_nan=False, description="0 takes the likeliest words."
    )
    top_p: float = Field(1.0, gt=0, le=1, allow_inf_nan=False)
    top_k: int = Field(0, ge=0, le=1_000_000, description="Only the k likeliest; 0 for all.")
    seed: int = Field(0, ge=0, lt=1 << 63, description="Makes a drawn answer repeatable.")
    stop: Stop | list[Stop] | None = Field(
        None, description="Ends the answer and is not part of it.", examples=[["\n"]]
    )
    min_step: int | None = Field(
        None, ge=0, lt=1 << 62, description="Wait for a memory of at least so many steps."
    )
    as_of: Annotated[int, Field(ge=0, lt=1 << 62)] | str | None = Field(
        None,
        description="Answer from an earlier moment: a step, or an ISO 8601 time (UTC if it names "
        "no offset).",
        examples=[120, "2026-03-01"],
    )
    snapshot: Name | None = Field(None, description="The same, by the name of a snapshot.")
    filter: DocumentFilter | None = Field(
        None, description="Draw on these documents only; by default on all."
    )
    threshold: float | None = Field(
        None,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="Withhold an answer of less confidence; by default as the tenant is set, else "
        "as the checkpoint says. 0 withholds nothing.",
    )
    citations: bool | Citations = Field(5, description="How many; true is 5, false is none.")

    @model_validator(mode="after")
    def _one_moment(self) -> Self:
        given = [self.as_of is not None, self.snapshot is not None, self.min_step is not None]
        if sum(given) > 1:
            raise ValueError("as_of, snapshot and min_step exclude one another; give one of them")
        if isinstance(self.stop, list) and len(self.stop) > 16:
            raise ValueError("stop may name 16 strings at most")
        return self

    @property
    def wanted(self) -> Filter | None:
        """The documents that the answer may draw on; None: all."""
        return self.filter.wanted if self.filter else None

    @property
    def wanted_citations(self) -> int:
        return 5 * self.citations if isinstance(self.citations, bool) else self.citations

    @property
    def stops(self) -> tuple[str, ...]:
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())


class Query(Question):
    """A question to the key's tenant."""

    model_config = example(
        {"question": "Where does Maren Tolva live?", "max_tokens": 64, "citations": 5}
    )

    form: dict[str, Any] | None = Field(
        None,
        alias="schema",
        description="A JSON Schema of an object: the answer is its JSON, filled field by field.",
    )
    stream: bool = Field(False, description="Server-sent events instead of one object.")


class Passage(Response):
    """A text that was memorized in one step, and where it stands."""

    document_id: str
    title: str
    section: str | None
    source: str
    start: int = Field(description="Characters start … end - 1 of the document's text.")
    end: int
    text: str
    step: int = Field(description="The step that memorized it, counted from 1.")


class Citation(Passage):
    """A passage that the retriever found close to the question: attribution, not proof."""

    score: float = Field(description="Comparable within one answer only.")
    relevance: float | None = Field(
        None,
        description="From 0 to 1, the probability that the passage holds what was asked, as the "
        "`score` of a search; null where the checkpoint has no fitted relevance.",
    )


class Usage(Response):
    """Tokens read and written, and memory rows attended in each layer."""

    prompt_tokens: int
    completion_tokens: int
    memory_rows: int


class FieldConfidence(Response):
    """How sure a field of a filled form is."""

    path: str = Field(description="Names and places from the outermost object to it, with dots.")
    confidence: float | None
    withheld: bool = Field(description="Memory does not hold it.")


class Answer(Response):
    """What memory says."""

    model_config = example(
        {
            "answer": "Dorvas",
            "citations": [
                {
                    "document_id": "people/maren",
                    "title": "Maren",
                    "section": None,
                    "source": "people/maren",
                    "start": 0,
                    "end": 28,
                    "text": "Maren Tolva lives in Dorvas.",
                    "score": 3.1,
                    "relevance": 0.91,
                    "step": 1,
                }
            ],
            "confidence": 0.93,
            "abstained": False,
            "finish_reason": "stop",
            "usage": {"prompt_tokens": 12, "completion_tokens": 3, "memory_rows": 128},
            "step": 1,
            "waiting": 0,
        }
    )

    answer: str
    citations: list[Citation]
    confidence: float | None = Field(
        description="From 0 to 1, that memory has what was asked; null where the model cannot say."
    )
    abstained: bool = Field(
        description="The confidence was too low, and `answer` is a refusal instead."
    )
    finish_reason: Literal["stop", "length", "cancelled"]
    usage: Usage
    step: int = Field(description="The memory after so many steps gave the answer.")
    waiting: int = Field(description="Steps of the log that are not memorized yet.")
    value: dict[str, Any] | None = Field(
        None, description="The object, if a `schema` was sent and memory holds what it demands."
    )
    fields: list[FieldConfidence] = Field(
        [], description="Of a form that was filled: what memory was asked, field by field."
    )
