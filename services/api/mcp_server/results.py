"""What the tools return that no route of the API does."""

from __future__ import annotations

from pydantic import Field

from mplus_ray.services.api.schemas.base import Response
from mplus_ray.services.api.schemas.documents import Document


class Memorized(Response):
    """A text that is durable in the log."""

    document_id: str
    memorized: bool = Field(
        description="The memory can be asked about it; false: it is still at work, so ask with "
        "`min_step`."
    )
    min_step: int = Field(description="Give it to `ask`, and the answer has seen this text.")
    known: bool = Field(description="The memory had this text under this id already.")
    replaced: bool = Field(description="An older text of this id is forgotten.")
    job_url: str = Field(description="Of the HTTP API: how far it is.")


class Part(Document):
    """A document with a part of its text."""

    start: int = Field(description="Characters start … end - 1 of the text.")
    end: int
    characters: int = Field(description="Of the whole text.")
    next_start: int | None = Field(description="Where the next part begins; null after the last.")
    text: str


class Forgotten(Response):
    """From now on no answer draws on the document; its job erases what is left of it."""

    document_id: str
    receipt_id: str
    job_url: str = Field(description="Of the HTTP API: when each stage was done.")
