"""A body that is one document: text/plain as it stands, text/markdown with its headings."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace
from email.message import Message
from pathlib import Path

from fastapi import HTTPException

from mplus_ray.model.errors import DocumentError, InvalidInputError
from mplus_ray.pipeline.ledger.tenant import Tenant
from mplus_ray.pipeline.parsing.document import ParsedDocument
from mplus_ray.pipeline.parsing.limits import check_key
from mplus_ray.pipeline.parsing.text.encodings import decode, labelled
from mplus_ray.services.api.ingest.parser_pool import Parsers
from mplus_ray.services.api.ingest.uploads import (
    Arrived,
    as_arrived,
    default_key,
    default_title,
    spooled,
)
from mplus_ray.services.api.schemas.documents import NewDocument

KINDS = ("text/plain", "text/markdown")
_NAME = "body.md"  # for the parser, which goes by it


@dataclass(frozen=True)
class Named:
    """What the URL of a request calls its document.

    Attributes:
        id: None: made of its text.
        title: None: its first heading, or how it begins.
    """

    id: str | None = None
    title: str | None = None


@dataclass(frozen=True)
class TextBody:
    """What came.

    Attributes:
        data: the bytes.
        content_type: with its charset, if it names one.
        named: by the URL.
    """

    data: bytes
    content_type: str
    named: Named

    def decoded(self) -> str:
        """The text, in the charset that is named, else in the one that the bytes allow.

        Raises:
            HTTPException: the charset is unknown.
            DocumentError: the bytes are no text, or not in that charset.
        """
        header = Message()
        header["content-type"] = self.content_type
        charset = header.get_content_charset()
        codec = None if charset is None else labelled(charset)
        if charset is not None and codec is None:
            raise HTTPException(415, f"the charset {charset[:40]!r} is unknown; send utf-8")
        return decode(self.data, "the body", codec)


async def document_of_text(
    body: TextBody, parsers: Parsers, spool: Path | None, tenant: Tenant
) -> AsyncGenerator[Arrived, None]:
    """The one document.

    Raises:
        HTTPException: the charset is unknown.
        RateLimitedError: the tenant's documents took all of the parsers' time.
    """
    header = body.content_type.partition(";")[0].strip().lower()
    try:
        text = await asyncio.to_thread(body.decoded)
    except DocumentError as error:
        yield Arrived("body", None, error)
        return
    if header == "text/plain":
        sent = NewDocument(
            text=text or " ", id=body.named.id, title=body.named.title, metadata=None
        )
        yield as_arrived(sent)
        return
    async with spooled(spool, ".md") as path:
        await asyncio.to_thread(path.write_text, text, "utf-8", newline="")
        async with aclosing(parsers.records(path, _NAME, tenant)) as records:
            async for record in records:
                yield _arrived(body, record.outcome)


def _arrived(body: TextBody, outcome: ParsedDocument | DocumentError) -> Arrived:
    if isinstance(outcome, DocumentError):
        return Arrived(body.named.id or "body", body.named.id, outcome)
    key = body.named.id or default_key(outcome.text)
    try:
        check_key(key)
    except InvalidInputError as error:
        return Arrived("body", None, DocumentError(str(error)))
    own = outcome.title if outcome.title != Path(_NAME).stem else None
    title = body.named.title or own or default_title(outcome.text)
    return Arrived(key, key, replace(outcome, title=title))
