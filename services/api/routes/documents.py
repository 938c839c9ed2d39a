"""`/v1/documents`: hand documents in, look at them, have them forgotten."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from typing import Annotated, Any

from fastapi import Header, Path, Query, Request, Response
from fastapi.responses import JSONResponse

from mplus_ray.model.errors import DocumentNotFoundError, InvalidInputError, SwappedError
from mplus_ray.pipeline.ledger.api_keys import KeyScope
from mplus_ray.pipeline.ledger.tenant_log import ChunkPassage, TenantLog
from mplus_ray.pipeline.ledger.tenant_log import Document as LogDocument
from mplus_ray.pipeline.parsing.details import read_details
from mplus_ray.services.api.auth import DepsOf, TenantOf, guarded
from mplus_ray.services.api.ingest import text_body
from mplus_ray.services.api.ingest.request_body import REQUEST_BODY, arriving, taken_once
from mplus_ray.services.api.ingest.response import job_url
from mplus_ray.services.api.ingest.service import IngestService
from mplus_ray.services.api.openapi import problems
from mplus_ray.services.api.routes.jobs import receipt_times
from mplus_ray.services.api.schemas.base import iso, iso_or_none
from mplus_ray.services.api.schemas.documents import (
    Document,
    DocumentChanges,
    DocumentPage,
    Passage,
    Receipt,
    State,
    TakenIn,
    WholeDocument,
)
from mplus_ray.services.api.schemas.filters import FilterText, read_filter
from mplus_ray.services.api.streaming import Streamed, while_connected

readers = guarded(KeyScope.QUERY, KeyScope.INGEST, tag="documents")
writers = guarded(KeyScope.INGEST, tag="documents")

_DETAILS = frozenset({"session", "tags", "occurred_at", "expires_at"})
_PASSAGES = 500  # that are in memory at a time
_WAITS = {"true": 60.0, "false": 0.0}  # seconds

Id = Annotated[str, Path(description="As it was handed in; may contain slashes.", max_length=4000)]


@writers.post(
    "/v1/documents",
    status_code=202,
    response_model=TakenIn,
    response_description="Durable; questions can draw on it when its job is done.",
    responses={
        200: {"model": TakenIn, "description": "With `wait`: questions can draw on it."},
        **problems(409, 415, 429),
    },
    openapi_extra={"requestBody": REQUEST_BODY},
)
async def hand_in(
    request: Request,
    log: TenantOf,
    deps: DepsOf,
    document_id: Annotated[
        str | None,
        Query(
            alias="id",
            min_length=1,
            max_length=1000,
            description="Of a document that comes as text/plain or text/markdown, whose body has "
            "no place for it.",
        ),
    ] = None,
    title: Annotated[
        str | None, Query(max_length=1000, description="Of such a document; by default its own.")
    ] = None,
    wait: Annotated[
        str,
        Query(
            description="Answer when questions can draw on the documents, at the latest after so "
            "many seconds; `true` is 60.",
            pattern=r"^(true|false|[0-9]{1,6}(\.[0-9]{1,6})?)$",
        ),
    ] = "false",
    idempotency_key: Annotated[
        str | None,
        Header(
            description="Sent again with the same key and body, a request is done once; keys are "
            "kept for a day.",
            min_length=1,
            max_length=255,
        ),
    ] = None,
) -> Response:
    """Hand documents in: as JSON, as files, or as lines of JSON that are read as they come.

    What cannot be read is listed in `failed`; the rest is taken in.
    """
    intake: IngestService = request.app.state.intake
    hashed = idempotency_key is not None
    named = text_body.Named(document_id, title)
    async with arriving(request, deps, log.tenant, hashed, named) as (arrived, digest):
        taken, replayed = await taken_once(intake, log, arrived, idempotency_key, digest)
    request.state.noted = {"documents": len(taken.documents), "step": taken.min_step}
    status = 202
    if seconds := min(_seconds(wait), deps.limits.wait_seconds):
        waited = intake.wait(log, taken, seconds)
        taken, done = await while_connected(request, waited)
        status = 200 if done else 202
    headers = {"location": taken.status_url}
    if replayed:
        headers["idempotency-replayed"] = "true"
    return JSONResponse(taken.model_dump(), status, headers)


@readers.get("/v1/documents", responses=problems())
def list_documents(
    log: TenantOf,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
    state: State | None = None,
    q: Annotated[
        str | None, Query(description="In the title or the id, in whatever case.", max_length=200)
    ] = None,
    chosen: FilterText = None,
) -> DocumentPage:
    """Documents in the order in which they came, a page at a time."""
    if q is not None and "\0" in q:
        return DocumentPage(documents=[], next_cursor=None)
    page = log.page(limit, cursor, state, q, read_filter(chosen))
    documents = [to_document(document) for document in page.documents]
    return DocumentPage(documents=documents, next_cursor=page.next_cursor)


@readers.get(
    "/v1/documents/{document_id:path}", response_model=WholeDocument, responses=problems(404)
)
def show_document(document_id: Id, log: TenantOf, passages: bool = True) -> Response:
    """A document, with its text in the passages that memory has it in."""
    key = _possible(document_id)
    found = log.document(key)
    shown = to_document(found).model_dump()
    if not passages or found.forget is not None:
        return JSONResponse({**shown, "passages": [] if passages else None})
    first = log.passages(key, limit=_PASSAGES)
    return Streamed(_whole(log, found, shown, first), media_type="application/json")


async def _whole(
    log: TenantLog, document: LogDocument, shown: dict[str, Any], part: list[ChunkPassage]
) -> AsyncGenerator[bytes, None]:
    """A document as JSON, piece by piece: a long one is not in memory as a whole.

    Args:
        part: its first passages.
    """
    yield json.dumps(shown, ensure_ascii=False)[:-1].encode() + b', "passages": ['
    comma, step = b"", document.first_step
    while step < document.end:
        if not part or (part[0].document, part[0].step) != (document.id, step):
            raise SwappedError("the document was changed while it was read")
        for passage in part:
            yield comma + _passage(passage).model_dump_json().encode()
            comma = b", "
        step += len(part)
        if step < document.end:
            part = await asyncio.to_thread(log.passages, document.key, step, _PASSAGES)
    yield b"]}"


@writers.delete("/v1/documents", status_code=202, responses=problems())
def forget_documents(request: Request, log: TenantOf, chosen: FilterText = None) -> Receipt:
    """Have all documents forgotten that a filter leaves, with one receipt. No answer draws on them
    from now on; their job does the rest.
    """
    wanted = read_filter(chosen)
    if wanted is None:
        raise InvalidInputError(
            "say by `filter` which documents; one that says nothing would be all of them"
        )
    receipt = log.forgets.request_all(wanted)
    request.state.noted = {"receipt": receipt.id, "documents": receipt.documents}
    job = receipt.id if receipt.documents else None
    url = job_url(receipt.id) if receipt.documents else None
    return Receipt(**receipt_times(receipt), job_id=job, job_url=url)


@writers.delete("/v1/documents/{document_id:path}", status_code=202, responses=problems(404))
def forget_document(document_id: Id, request: Request, log: TenantOf) -> Receipt:
    """Have a document forgotten. No answer draws on it from now on; its job does the rest."""
    receipt = log.forgets.request(_possible(document_id)).receipt
    request.state.noted = {"receipt": receipt.id}
    return Receipt(**receipt_times(receipt), job_id=receipt.id, job_url=job_url(receipt.id))


@writers.patch("/v1/documents/{document_id:path}", responses=problems(404))
def change_document(document_id: Id, body: DocumentChanges, log: TenantOf) -> Document:
    """Change what is said of a document. Its text stays, and nothing is memorized again; filters
    and answers go by it from now on.
    """
    given = body.model_dump(exclude_unset=True)
    read = read_details({**given, "tags": given.get("tags") or []}, time.time())
    changes = {name: getattr(read, name) for name in given.keys() & _DETAILS}
    if given.get("ttl") is not None:
        changes["expires_at"] = read.expires_at
    if "metadata" in given:
        changes["metadata"] = given["metadata"]
    return to_document(log.change(_possible(document_id), changes))


def _seconds(wait: str) -> float:
    return _WAITS[wait] if wait in _WAITS else float(wait)


def _possible(document_id: str) -> str:
    """An id that some document may have; others are not for every database to look for."""
    if "\0" in document_id:
        raise DocumentNotFoundError("there is no such document: an id has no character NUL")
    return document_id


def to_document(document: LogDocument) -> Document:
    return Document(
        id=document.key,
        title=document.title,
        source=document.source,
        state=document.state,
        created=iso(document.created),
        memorized=iso_or_none(document.memorized),
        tokens=document.tokens,
        first_step=document.first_step + 1,
        end_step=document.end,
        metadata=document.metadata,
        session=document.details.session,
        tags=list(document.details.tags),
        occurred_at=iso_or_none(document.details.occurred_at),
        expires_at=iso_or_none(document.details.expires_at),
    )


def _passage(passage: ChunkPassage) -> Passage:
    return Passage(
        step=passage.step + 1,
        start=passage.start,
        end=passage.end,
        section=passage.section,
        text=passage.text,
    )
