"""The body of a request that hands documents in, whichever of its forms it has."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import HTTPException, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.datastructures import UploadFile

from mplus_ray.model.errors import InvalidInputError
from mplus_ray.pipeline.ledger.tenant import Tenant
from mplus_ray.pipeline.ledger.tenant_log import TenantLog
from mplus_ray.services.api.deps import Deps
from mplus_ray.services.api.ingest import text_body
from mplus_ray.services.api.ingest.forms import form_of
from mplus_ray.services.api.ingest.parser_pool import Parsers
from mplus_ray.services.api.ingest.service import IngestService
from mplus_ray.services.api.ingest.uploads import (
    Arrived,
    RunningDigest,
    as_arrived,
    files,
    lines,
    spooled,
)
from mplus_ray.services.api.schemas.documents import NewDocument, NewDocuments, TakenIn

Items = AsyncGenerator[Arrived, None]

_PIECE = 1 << 20
_FIELD = "files"
_KINDS = (
    "application/json, multipart/form-data, application/x-ndjson, text/plain or text/markdown; "
    "gzip and deflate may be round it"
)

REQUEST_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "anyOf": [
                    {"$ref": "#/components/schemas/NewDocument"},
                    {"$ref": "#/components/schemas/NewDocuments"},
                ]
            },
            "examples": {
                "one": {"value": {"id": "people/maren", "text": "Maren Tolva lives in Dorvas."}},
                "several": {
                    "value": {"documents": [{"text": "The owl is brown."}, {"text": "Ilse sings."}]}
                },
            },
        },
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": [_FIELD],
                "properties": {
                    _FIELD: {
                        "type": "array",
                        "items": {"type": "string", "format": "binary"},
                        "description": "Text, office files, PDF, HTML, mail, e-books; or many "
                        "documents in one: jsonl, json, csv, parquet, mbox, zip. A file's name, "
                        "with the folders in it, is its id.",
                    }
                },
            }
        },
        "application/x-ndjson": {
            "schema": {"type": "string"},
            "example": '{"id": "a", "text": "The owl is brown."}\n{"text": "Ilse sings."}\n',
        },
        "text/plain": {"schema": {"type": "string"}, "example": "The owl is brown."},
        "text/markdown": {"schema": {"type": "string"}, "example": "# Owls\n\nThe owl is brown.\n"},
    },
}


@asynccontextmanager
async def arriving(
    request: Request, deps: Deps, tenant: Tenant, hashed: bool, named: text_body.Named
) -> AsyncGenerator[tuple[Items, str], None]:
    """The documents of a body, and its digest if that is wanted.

    Lines are read as they come, unless all of them have to be hashed first.

    Args:
        named: what the URL calls a document whose body is only its text.

    Raises:
        RequestValidationError: it is not what its content type says, or the URL names a document
            whose body names it itself.
        HTTPException: of an unknown content type.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    digest = RunningDigest()
    digest.add(kind.encode())
    if kind not in text_body.KINDS and named != text_body.Named():
        raise RequestValidationError(
            [
                {
                    "type": "value_error",
                    "loc": ("query",),
                    "msg": "id and title in the URL are for text/plain and text/markdown; say "
                    "them in the body",
                }
            ]
        )
    if kind == "application/json":
        body = await request.body()
        digest.add(body)
        documents = await asyncio.to_thread(_read_json, body, deps.limits.documents)
        yield one_by_one(documents), digest.text
    elif kind == "multipart/form-data":
        parsers: Parsers = request.app.state.parsers
        async with form_of(request, deps.limits.documents) as form:
            uploads = [each for each in form.getlist(_FIELD) if isinstance(each, UploadFile)]
            if not uploads:
                raise _invalid((_FIELD,), "send at least one file in this field")
            if hashed:
                await asyncio.to_thread(_hash, uploads, digest)
            async with aclosing(files(uploads, parsers, deps.spool, tenant)) as items:
                yield items, digest.text
    elif kind == "application/x-ndjson":
        if not hashed:
            async with aclosing(lines(request.stream())) as items:
                yield items, ""
            return
        async with spooled(deps.spool) as path:
            await _spool(request.stream(), path, digest)
            async with aclosing(lines(_pieces(path))) as items:
                yield items, digest.text
    elif kind in text_body.KINDS:
        body = await request.body()
        digest.add(body)
        digest.add(repr(named).encode())
        sent = text_body.TextBody(body, request.headers["content-type"], named)
        parsers = request.app.state.parsers
        arrives = text_body.document_of_text(sent, parsers, deps.spool, tenant)
        async with aclosing(arrives) as items:
            yield items, digest.text
    else:
        raise HTTPException(415, f"send {_KINDS}")


async def taken_once(
    intake: IngestService, log: TenantLog, items: Items, key: str | None, digest: str
) -> tuple[TakenIn, bool]:
    """Take documents in, or find what was answered when they were taken in before.

    Returns that, and whether it was before.

    Raises:
        ConflictError: the key is another request's, or that of one at work.
    """
    if key is None:
        return await intake.take_in(log, items), False
    before = await asyncio.to_thread(log.answered.claim, key, digest)
    if before is not None:
        return TakenIn.model_validate(before.response), True
    try:
        taken = await intake.take_in(log, items)
    except BaseException:
        # A request that failed, or whose client went away, may be sent again.
        await asyncio.shield(asyncio.to_thread(log.answered.drop, key, digest))
        raise
    await asyncio.to_thread(log.answered.keep, key, digest, 202, taken.model_dump())
    return taken, False


def _read_json(body: bytes, most: int) -> list[Arrived]:
    try:
        sent = json.loads(body)
    except (ValueError, RecursionError) as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else "it cannot be read"
        raise _invalid((), f"it is not JSON: {reason}") from None
    several = isinstance(sent, dict) and "documents" in sent
    try:
        if not several:
            return [as_arrived(NewDocument.model_validate(sent))]
        documents = NewDocuments.model_validate(sent).documents
    except ValidationError as error:
        raise RequestValidationError(
            [{**each, "loc": ("body", *each["loc"])} for each in error.errors()]
        ) from None
    if len(documents) > most:
        raise InvalidInputError(f"{len(documents):,} documents; send {most:,} at once at most")
    return [as_arrived(document) for document in documents]


def _invalid(where: tuple[str, ...], why: str) -> RequestValidationError:
    return RequestValidationError([{"type": "value_error", "loc": ("body", *where), "msg": why}])


async def one_by_one(documents: Sequence[Arrived]) -> Items:
    """Documents that are there already, as a stream."""
    for document in documents:
        yield document


def _hash(uploads: Sequence[UploadFile], digest: RunningDigest) -> None:
    for upload in uploads:
        digest.add((upload.filename or "").encode())
        while piece := upload.file.read(_PIECE):
            digest.update(piece)
        upload.file.seek(0)


async def _spool(pieces: AsyncIterator[bytes], path: Path, digest: RunningDigest) -> None:
    with await asyncio.to_thread(path.open, "wb") as target:
        async for piece in pieces:
            digest.update(piece)
            await asyncio.to_thread(target.write, piece)


async def _pieces(path: Path) -> AsyncGenerator[bytes, None]:
    with await asyncio.to_thread(path.open, "rb") as file:
        while piece := await asyncio.to_thread(file.read, _PIECE):
            yield piece
