"""Documents: handed in, listed, shown, forgotten; and the jobs that follow."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from mplus_ray.services.api.schemas.base import Request, Response, Text, Time, example
from mplus_ray.services.api.schemas.problems import FailedSource, Refused

State = Literal["waiting", "memorized", "forgetting"]


class NewDocument(Request):
    """A document as text. The same text under the same id is the same document; other text under
    it takes its place, and the older version is forgotten.
    """

    text: str = Field(min_length=1, examples=["Maren Tolva lives in Dorvas."])
    id: Text | None = Field(
        None,
        min_length=1,
        max_length=1000,
        description="What you know it by; may contain slashes. By default a hash of the text.",
        examples=["people/maren"],
    )
    title: str | None = Field(None, max_length=1000, examples=["Maren"])
    metadata: dict[str, Any] | None = Field(None, examples=[{"author": "Ilse"}])
    session: Text | None = Field(
        default=None, description="What it belongs to, such as one conversation.", examples=["s-17"]
    )
    tags: list[Text] | None = Field(default=None, examples=[["news"]])
    occurred_at: Text | None = Field(
        default=None,
        description="When what it tells of happened; ISO 8601, UTC if it names no offset. By "
        "default when it is taken in.",
        examples=["2026-02-27"],
    )
    expires_at: Text | None = Field(
        default=None, description="When it is to be forgotten; ISO 8601.", examples=["2027-01-01"]
    )
    ttl: float | None = Field(
        default=None,
        gt=0,
        lt=1e11,
        allow_inf_nan=False,
        description="The same, in seconds from now; by default as the tenant is set.",
    )


class NewDocuments(Request):
    """Several documents at once, in this order."""

    documents: list[NewDocument] = Field(min_length=1)


class DocumentChanges(Request):
    """What is said of a document, changed: what is not given stays, null clears."""

    model_config = example({"tags": None, "metadata": {"author": "Otto", "draft": None}})

    metadata: dict[str, Any] | None = Field(
        default=None,
        description="Fields that are to be otherwise; null for one takes it away (RFC 7396), null "
        "for all of it all of them.",
    )
    session: Text | None = None
    tags: list[Text] | None = Field(default=None, description="All that it is to have.")
    occurred_at: Text | None = Field(
        default=None, description="ISO 8601; null: when it was taken in."
    )
    expires_at: Text | None = Field(default=None, description="ISO 8601; null: never.")
    ttl: float | None = Field(
        default=None, gt=0, lt=1e11, allow_inf_nan=False, description="The same, from now."
    )


class Taken(Response):
    """A document that is durable in the log."""

    id: str = Field(examples=["people/maren"])
    url: str = Field(examples=["/v1/documents/people/maren"])
    state: State = Field(description="`memorized`: questions can draw on it.")
    first_step: int = Field(description="Its steps are first_step … end_step, counted from 1.")
    end_step: int
    tokens: int
    known: bool = Field(description="The tenant had it already; nothing was added.")
    updated: bool = Field(
        False, description="It was there, and what is said of it (metadata, tags, times) is new."
    )
    replaced: bool = Field(
        False, description="An older document of this id had another text and is forgotten."
    )
    like: str | None = Field(
        None, description="The id of another document that says the same, or nearly."
    )


class TakenIn(Response):
    """What became of the documents that were handed in."""

    model_config = example(
        {
            "id": "people/maren",
            "status_url": "/v1/documents/people/maren",
            "job_id": "5f0c6e2a9b7d4c1e8f3a2b1c0d9e8f7a",
            "job_url": "/v1/jobs/5f0c6e2a9b7d4c1e8f3a2b1c0d9e8f7a",
            "min_step": 1,
            "documents": [
                {
                    "id": "people/maren",
                    "url": "/v1/documents/people/maren",
                    "state": "waiting",
                    "first_step": 1,
                    "end_step": 1,
                    "tokens": 9,
                    "known": False,
                    "replaced": False,
                    "like": None,
                }
            ],
            "failed": [],
            "read": 1,
            "taken_in": 1,
            "known": 0,
            "replaced": 0,
            "refused": 0,
            "refusals": [],
            "next_line": None,
            "complete": True,
            "retry_after": None,
        }
    )

    id: str = Field(description="Of the first document.")
    status_url: str
    job_id: str
    job_url: str
    min_step: int = Field(
        description="Ask with this `min_step`, and the answer has seen all of these documents."
    )
    documents: list[Taken]
    failed: list[FailedSource] = Field(
        description="What was left out, the first thousand of it; the rest is taken in."
    )
    read: int = Field(0, description="Documents and lines that were looked at.")
    taken_in: int = Field(0, description="How many of them are new.")
    known: int = Field(0, description="How many the tenant had already; they count for no limit.")
    replaced: int = Field(0, description="How many new ones took an older one's place.")
    refused: int = Field(0, description="How many were left out.")
    refusals: list[Refused] = Field(
        [],
        description="What was left out, counted by kind and reason; with parts of documents, such "
        "as pages without text and attachments.",
    )
    next_line: int | None = Field(
        None,
        description="Send the lines from this one on in another request; null: all are read.",
    )
    complete: bool = Field(
        True,
        description="False: a limit ended it. Send a stream from `next_line` on, anything else "
        "again as it is: what is known counts for nothing.",
    )
    retry_after: float | None = Field(
        None, description="Seconds after which to do so, where a limit of a minute ended it."
    )


class Document(Response):
    """A document without its text."""

    model_config = example(
        {
            "id": "people/maren",
            "title": "Maren",
            "source": "people/maren",
            "state": "memorized",
            "created": "2026-03-01T12:00:00+00:00",
            "memorized": "2026-03-01T12:00:01+00:00",
            "tokens": 9,
            "first_step": 1,
            "end_step": 1,
            "metadata": {"author": "Ilse", "format": "json"},
            "session": None,
            "tags": [],
            "occurred_at": None,
            "expires_at": None,
        }
    )

    id: str
    title: str
    source: str = Field(description="Where it came from: a file's name, or its id.")
    state: State
    created: Time
    memorized: Time | None = Field(description="Since when questions can draw on it.")
    tokens: int
    first_step: int = Field(description="Its steps are first_step … end_step, counted from 1.")
    end_step: int
    metadata: dict[str, Any]
    session: str | None
    tags: list[str]
    occurred_at: Time | None = Field(
        description="When what it tells of happened, if that is known."
    )
    expires_at: Time | None = Field(description="When it is to be forgotten.")


class DocumentPage(Response):
    """Documents in the order in which they came."""

    documents: list[Document]
    next_cursor: str | None = Field(description="For `cursor`; null on the last page.")


class Passage(Response):
    """The text of one step."""

    step: int = Field(description="Counted from 1, as `as_of` counts.")
    start: int = Field(description="Characters start … end - 1 of the document's text.")
    end: int
    section: str | None = Field(description="The heading that it stands under.")
    text: str


class WholeDocument(Document):
    """A document with its text."""

    passages: list[Passage] | None = Field(
        None, description="All of its text; left out with `passages=false`, and when forgotten."
    )


class ReceiptTimes(Response):
    """What became of a request to forget a document, and when.

    From `masked` on no answer draws on it; from `rebuilt` on the memory is that of a tenant who
    never saw it, and its text is deleted; from `purged` on no file holds anything of it.
    """

    id: str
    document_id: str | None = Field(description="Null of several.")
    documents: int = Field(1, description="How many it is about.")
    reason: Literal["asked", "replaced", "expired"] = Field(
        "asked",
        description="Somebody asked; another text took its place; or its time was over.",
    )
    requested: Time
    masked: Time
    rebuilt: Time | None
    purged: Time | None


class Receipt(ReceiptTimes):
    """When each stage was done, with the job that carries it out."""

    model_config = example(
        {
            "id": "bfc7074016d349d9ac22a4e8437a70e9",
            "document_id": "people/maren",
            "requested": "2026-03-01T12:00:00+00:00",
            "masked": "2026-03-01T12:00:00+00:00",
            "rebuilt": None,
            "purged": None,
            "job_id": "bfc7074016d349d9ac22a4e8437a70e9",
            "job_url": "/v1/jobs/bfc7074016d349d9ac22a4e8437a70e9",
        }
    )

    job_id: str | None = Field(description="Null where a filter left nothing to forget.")
    job_url: str | None


class Job(Response):
    """Work that goes on after its request was answered."""

    model_config = example(
        {
            "id": "5f0c6e2a9b7d4c1e8f3a2b1c0d9e8f7a",
            "kind": "ingest",
            "state": "done",
            "created": "2026-03-01T12:00:00+00:00",
            "documents": 1,
            "memorized": 1,
            "failed": [],
            "receipt": None,
        }
    )

    id: str
    kind: Literal["ingest", "forget"]
    state: Literal["waiting", "running", "done", "failed"]
    created: Time
    documents: int = Field(description="How many it is about.")
    memorized: int = Field(
        description="How many of them are answerable; of `forget`, whether nothing is left."
    )
    failed: list[FailedSource] = Field(description="Sources that were not taken in.")
    receipt: ReceiptTimes | None = Field(description="Of `forget`: when each stage was done.")


class JobPage(Response):
    """Jobs, the newest first."""

    jobs: list[Job]
    next_cursor: str | None = Field(description="For `cursor`; null on the last page.")
