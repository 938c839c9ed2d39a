"""Many questions in one request, and what became of each."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Annotated, Any, Self

from pydantic import (
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from mplus_ray.pipeline.parsing.document_id import storable
from mplus_ray.services.api.schemas.base import Name, Request, Response, example
from mplus_ray.services.api.schemas.problems import Problem
from mplus_ray.services.api.schemas.query import Answer, Question

MOST_QUESTIONS = 100
_SHOWN_ID = 200  # characters


class BatchQuestion(Question):
    """A question among others; it has the fields of one alone."""

    model_config = example({"id": "q1", "question": "Where does Maren Tolva live?"})

    id: Name | None = Field(None, description="Comes back with the answer.", examples=["q1"])


@dataclass(frozen=True)
class InvalidQuestion:
    """An entry that is no question, which fails alone.

    Attributes:
        id: as it was sent, if it was one, without what no response can hold.
        errors: what pydantic finds wrong, with places in the entry.
    """

    id: str | None
    errors: tuple[Any, ...]


def _or_invalid(value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    try:
        return validate(value)
    except ValidationError as error:
        named = value.get("id") if isinstance(value, dict) else None
        shown = storable(named[:_SHOWN_ID]) if isinstance(named, str) else None
        return InvalidQuestion(shown, tuple(error.errors()))


class BatchQuery(Request):
    """Questions to the key's tenant that are answered together."""

    model_config = example(
        {
            "questions": [
                {"id": "q1", "question": "Where does Maren Tolva live?", "citations": 1},
                {"id": "q2", "question": "Who bought the mill?", "filter": {"tags": ["news"]}},
            ]
        }
    )

    questions: list[Annotated[BatchQuestion, WrapValidator(_or_invalid)]] = Field(
        min_length=1, max_length=MOST_QUESTIONS
    )

    @model_validator(mode="after")
    def _ids_differ(self) -> Self:
        ids = Counter(each.id for each in self.questions if each.id is not None)
        twice = [name for name, count in ids.items() if count > 1]
        if twice:
            raise ValueError(f"several questions have the id {twice[0][:80]!r}; give each its own")
        return self

    @property
    def entries(self) -> list[BatchQuestion | InvalidQuestion]:
        """The questions in their order, and what stands where one is none."""
        return list(self.questions)


class BatchAnswer(Response):
    """What became of one question: `response`, or `problem`."""

    id: str | None = Field(description="Of the question, if it has one.", examples=["q1"])
    index: int = Field(description="Its place in the request, from 0.")
    status: int = Field(description="What `POST /v1/query` would be answered with.")
    response: Answer | None = None
    problem: Problem | None = None
    retry_after: int | None = Field(
        default=None, description="Of a problem that may pass: seconds after which to ask again."
    )

    @property
    def sent(self) -> dict[str, Any]:
        """As JSON, without what it has not."""
        named = {"id": self.id, "index": self.index, "status": self.status}
        if self.response is not None:
            return {**named, "response": self.response.model_dump()}
        return {**named, **self.model_dump(include={"problem", "retry_after"}, exclude_none=True)}


class BatchAnswers(Response):
    """What became of all questions, in their order."""

    answers: list[BatchAnswer]
    answered: int = Field(description="How many have a `response`.")
    failed: int = Field(description="How many have a `problem`.")
