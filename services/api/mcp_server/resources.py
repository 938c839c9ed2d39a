"""Documents as resources: `mplus://documents/ID`, the id's slashes as they are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import quote, unquote

import mcp_types as types
from mcp.shared.exceptions import MCPError

from mplus_ray.model.errors import DocumentNotFoundError, InvalidInputError
from mplus_ray.pipeline.ledger.tenant_log import Document
from mplus_ray.services.api.auth import Caller, admit
from mplus_ray.services.api.mcp_server.failures import explained
from mplus_ray.services.api.mcp_server.tools import READERS
from mplus_ray.services.api.schemas.base import iso

_BASE = "mplus://documents/"
_PAGE = 100  # resources that are listed at once
_MOST = 1_000_000  # characters of one resource; a longer one is read with the tool `get`
_KIND = "text/plain"

T = TypeVar("T")

TEMPLATE = types.ResourceTemplate(
    name="document",
    title="A document in the memory",
    uri_template=_BASE + "{+document_id}",
    description="The text of a document by its id; the tool `list` finds ids.",
    mime_type=_KIND,
)


def uri_of(key: str) -> str:
    """A document's URI. The slashes of its id stay, unless a URL would take its parts for
    something else."""
    plain = all(part not in ("", ".", "..") for part in key.split("/"))
    return _BASE + quote(key, safe="/" if plain else "")


async def listed(caller: Caller, cursor: str | None, request_id: str) -> types.ListResourcesResult:
    """A page of the documents.

    Raises:
        MCPError: the cursor is none, or the key may not.
    """

    def look() -> types.ListResourcesResult:
        admit(caller, READERS)
        page = caller.tenant.page(_PAGE, cursor)
        found = [_resource(each) for each in page.documents if each.forget is None]
        return types.ListResourcesResult(resources=found, next_cursor=page.next_cursor)

    return await _told(look, request_id)


async def read(caller: Caller, uri: str, request_id: str) -> types.ReadResourceResult:
    """The text of a document.

    Raises:
        MCPError: there is none of this URI, it is too long, or the key may not.
    """

    def look() -> types.ReadResourceResult:
        admit(caller, READERS)
        key = unquote(uri.removeprefix(_BASE), errors="replace")
        if not uri.startswith(_BASE) or not key or "\0" in key:
            raise DocumentNotFoundError(
                f"there is no resource {uri[:200]!r}; documents are {_BASE} and an id"
            )
        text = caller.tenant.text(key)
        if len(text) > _MOST:
            raise InvalidInputError(
                f"the document has {len(text):,} characters, too many for one resource; read it "
                "in parts with the tool `get`"
            )
        contents = types.TextResourceContents(uri=uri, mime_type=_KIND, text=text)
        return types.ReadResourceResult(contents=[contents])

    return await _told(look, request_id)


def _resource(document: Document) -> types.Resource:
    return types.Resource(
        uri=uri_of(document.key),
        name=document.key,
        title=document.title,
        mime_type=_KIND,
        description=f"{document.tokens:,} tokens, {document.state}",
        annotations=types.Annotations(last_modified=iso(document.created)),
    )


async def _told(look: Callable[[], T], request_id: str) -> T:
    """What looking gives; for a thread, because it reads the ledger."""
    try:
        return await asyncio.to_thread(look)
    except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer
        raise MCPError(types.INVALID_PARAMS, explained(error, request_id)) from None
