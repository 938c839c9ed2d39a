"""What each tool takes. The docstring of a class is what an agent reads of the tool."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from mplus_ray.services.api.schemas.filters import DocumentFilter
from mplus_ray.services.api.schemas.search import MOST_RESULTS

MOST_DOCUMENTS = 200
MOST_CHARACTERS = 100_000


class Arguments(BaseModel):
    """Of any tool; one that it does not know is a mistake."""

    model_config = ConfigDict(extra="forbid")


class Memorize(Arguments):
    """Remember a text. Returns when the memory can be asked about it. A text under an `id` that
    exists takes the place of the older text, which is forgotten."""

    text: str = Field(min_length=1, description="What is to be remembered.")
    id: str | None = Field(
        None,
        min_length=1,
        max_length=1000,
        description="What to know it by later; may contain slashes. By default made of the text, "
        "so the same text is the same document.",
    )
    title: str | None = Field(None, max_length=1000, description="What to call it.")
    metadata: dict[str, Any] | None = Field(
        None, description="Kept and shown with it; `filter` of other tools goes by it."
    )
    session: str | None = Field(
        None, max_length=1000, description="What it belongs to, such as one conversation."
    )
    tags: list[str] | None = Field(None, description="Words that `filter` of other tools names.")
    occurred_at: str | None = Field(
        None, description="When what it tells of happened, ISO 8601; by default now."
    )
    ttl: float | None = Field(
        None,
        gt=0,
        lt=1e11,
        allow_inf_nan=False,
        description="Forget it after so many seconds.",
    )
    wait: bool = Field(
        True,
        description="Return when it can be asked about, after 50 s at the latest; false returns "
        "at once, and `ask` with `min_step` waits instead.",
    )


class Ask(Arguments):
    """Ask the memory a question. Citations are what it found close: attribution, not proof."""

    question: str = Field(min_length=1, description="In plain words.")
    min_step: int | None = Field(
        None,
        ge=0,
        lt=1 << 62,
        description="Wait until the memory has at least so many steps: the `min_step` that "
        "`memorize` returned.",
    )
    threshold: float | None = Field(
        None,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="Withhold an answer of less confidence; 0 withholds nothing.",
    )
    citations: int = Field(5, ge=0, le=20, description="So many passages at most.")
    max_tokens: int = Field(64, ge=1, description="Longest answer.")
    filter: DocumentFilter | None = Field(
        None, description="Only documents for which all of this holds."
    )


class Search(Arguments):
    """Find passages in the memory, without an answer. `score` is the probability, from 0 to 1,
    that a passage holds what was asked."""

    query: str = Field(min_length=1, description="A question, or words to look for.")
    limit: int = Field(10, ge=1, le=MOST_RESULTS, description="So many passages at most.")
    min_score: float | None = Field(
        None, ge=0, le=1, allow_inf_nan=False, description="Leave out passages that score less."
    )
    min_step: int | None = Field(
        None,
        ge=0,
        lt=1 << 62,
        description="Wait until the memory has at least so many steps.",
    )
    filter: DocumentFilter | None = Field(
        None, description="Only documents for which all of this holds."
    )


class List(Arguments):
    """List the documents in the memory, in the order in which they came, without their texts."""

    limit: int = Field(50, ge=1, le=MOST_DOCUMENTS, description="So many at most.")
    cursor: str | None = Field(
        None, max_length=200, description="The `next_cursor` of the page before."
    )
    q: str | None = Field(
        None, max_length=200, description="Only those with this in the title or the id."
    )
    filter: DocumentFilter | None = Field(
        None, description="Only documents for which all of this holds."
    )


class Get(Arguments):
    """Read a document's text, from character `start` on. A long one comes in parts."""

    document_id: str = Field(min_length=1, max_length=1000, description="The document's id.")
    start: int = Field(0, ge=0, lt=1 << 62, description="The `next_start` of the part before.")
    limit: int = Field(20_000, ge=1, le=MOST_CHARACTERS, description="So many characters at most.")


class Forget(Arguments):
    """Forget a document: from now on no answer draws on it. It cannot be undone."""

    document_id: str = Field(min_length=1, max_length=1000, description="The document's id.")
