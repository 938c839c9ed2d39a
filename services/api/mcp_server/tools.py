"""The tools; the key of a request says for which tenant."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import mcp_types as types
from pydantic import ValidationError

from mplus_ray.actors.messages import Turn
from mplus_ray.model.errors import DocumentNotFoundError, InvalidInputError
from mplus_ray.pipeline.ledger.api_keys import KeyScope
from mplus_ray.pipeline.ledger.filters.filter import Filter
from mplus_ray.services.api.ask.search_service import Searches, SearchQuery
from mplus_ray.services.api.ask.service import Answers, AskQuery
from mplus_ray.services.api.auth import Caller, admit
from mplus_ray.services.api.deps import Limits
from mplus_ray.services.api.ingest.request_body import one_by_one
from mplus_ray.services.api.ingest.response import job_url
from mplus_ray.services.api.ingest.service import IngestService
from mplus_ray.services.api.ingest.uploads import as_arrived
from mplus_ray.services.api.mcp_server import arguments as given
from mplus_ray.services.api.mcp_server.failures import explained, failed, misread
from mplus_ray.services.api.mcp_server.results import Forgotten, Memorized, Part
from mplus_ray.services.api.routes.documents import to_document
from mplus_ray.services.api.routes.query import to_answer
from mplus_ray.services.api.routes.search import to_results
from mplus_ray.services.api.schemas.base import Response
from mplus_ray.services.api.schemas.documents import DocumentPage, NewDocument
from mplus_ray.services.api.schemas.filters import DocumentFilter
from mplus_ray.services.api.schemas.query import Answer
from mplus_ray.services.api.schemas.search import SearchResults

_WAIT = 50.0  # seconds for `memorize`: agents give a call up after a minute
READERS = (KeyScope.QUERY, KeyScope.INGEST)  # who may see documents, as over HTTP


@dataclass(frozen=True)
class _Tool:
    """One tool.

    Attributes:
        title: for people.
        scopes: one of which a key needs.
        takes: its arguments.
        gives: its result.
        work: what it does.
        reads: it changes nothing.
        destroys: it may replace or remove what is remembered.
    """

    title: str
    scopes: tuple[KeyScope, ...]
    takes: type[given.Arguments]
    gives: type[Response]
    work: Callable[[Caller, Any], Awaitable[Response]]
    reads: bool = True
    destroys: bool = False

    def described(self, name: str) -> types.Tool:
        """As agents see it. All work on this memory alone, and again they change nothing more."""
        return types.Tool(
            name=name,
            title=self.title,
            description=" ".join((self.takes.__doc__ or "").split()),
            input_schema=self.takes.model_json_schema(),
            output_schema=self.gives.model_json_schema(mode="serialization"),
            annotations=types.ToolAnnotations(
                title=self.title,
                read_only_hint=self.reads,
                destructive_hint=self.destroys,
                idempotent_hint=True,
                open_world_hint=False,
            ),
        )


class Tools:
    """What agents may call."""

    def __init__(
        self, limits: Limits, answers: Answers, searches: Searches, intake: IngestService
    ) -> None:
        self._limits = limits
        self._answers = answers
        self._searches = searches
        self._intake = intake
        query, ingest = (KeyScope.QUERY,), (KeyScope.INGEST,)
        self._tools = {
            "memorize": _Tool(
                "Remember a text",
                ingest,
                given.Memorize,
                Memorized,
                self._memorize,
                reads=False,
                destroys=True,
            ),
            "ask": _Tool("Ask the memory", query, given.Ask, Answer, self._ask),
            "search": _Tool("Find passages", query, given.Search, SearchResults, self._search),
            "list": _Tool("List documents", READERS, given.List, DocumentPage, self._list),
            "get": _Tool("Read a document", READERS, given.Get, Part, self._get),
            "forget": _Tool(
                "Forget a document",
                ingest,
                given.Forget,
                Forgotten,
                self._forget,
                reads=False,
                destroys=True,
            ),
        }

    def listed(self) -> list[types.Tool]:
        """All of them."""
        return [tool.described(name) for name, tool in self._tools.items()]

    async def call(
        self, caller: Caller, name: str, sent: dict[str, Any], request_id: str
    ) -> types.CallToolResult:
        """What a tool returns; whatever goes wrong is told to the agent."""
        tool = self._tools.get(name)
        if tool is None:
            there = ", ".join(self._tools)
            return failed(f"there is no tool {name[:80]!r}; there are {there}")
        try:
            admit(caller, tool.scopes)
            result = await tool.work(caller, tool.takes.model_validate(sent))
        except ValidationError as error:
            return failed(misread(name, tool.takes, error))
        except Exception as error:  # noqa: BLE001 - whatever it is, the agent gets an answer
            return failed(explained(error, request_id))
        shown = result.model_dump(mode="json")
        text = json.dumps(shown, ensure_ascii=False)
        return types.CallToolResult(
            content=[types.TextContent(type="text", text=text)], structured_content=shown
        )

    async def _memorize(self, caller: Caller, sent: given.Memorize) -> Memorized:
        document = NewDocument.model_validate(sent.model_dump(exclude={"wait"}, exclude_none=True))
        arriving = one_by_one([as_arrived(document)])
        taken = await self._intake.take_in(caller.tenant, arriving)
        done = False
        if sent.wait:
            seconds = min(_WAIT, self._limits.wait_seconds)
            taken, done = await self._intake.wait(caller.tenant, taken, seconds)
        (one,) = taken.documents
        return Memorized(
            document_id=one.id,
            memorized=done or one.state == "memorized",
            min_step=taken.min_step,
            known=one.known,
            replaced=one.replaced,
            job_url=taken.job_url,
        )

    async def _ask(self, caller: Caller, sent: given.Ask) -> Answer:
        turns = (Turn("user", sent.question),)
        self._answers.check(turns, sent.max_tokens)
        question = AskQuery(
            turns=turns,
            sampling={"max_tokens": sent.max_tokens},
            min_step=sent.min_step,
            citations=sent.citations,
            threshold=sent.threshold,
            wanted=_wanted(sent.filter),
        )
        return to_answer(await self._answers.reply(caller.tenant, question))

    async def _search(self, caller: Caller, sent: given.Search) -> SearchResults:
        query = SearchQuery(
            sent.query,
            sent.limit,
            sent.min_score,
            sent.min_step,
            wanted=_wanted(sent.filter),
        )
        return to_results(await self._searches.search(caller.tenant, query))

    async def _list(self, caller: Caller, sent: given.List) -> DocumentPage:
        if sent.q is not None and "\0" in sent.q:
            return DocumentPage(documents=[], next_cursor=None)
        log = caller.tenant
        wanted = _wanted(sent.filter)
        page = await asyncio.to_thread(log.page, sent.limit, sent.cursor, None, sent.q, wanted)
        documents = [to_document(document) for document in page.documents]
        return DocumentPage(documents=documents, next_cursor=page.next_cursor)

    async def _get(self, caller: Caller, sent: given.Get) -> Part:
        key, log = _possible(sent.document_id), caller.tenant
        document = await asyncio.to_thread(log.document, key)
        text = await asyncio.to_thread(log.text, key)
        if sent.start > len(text):
            raise InvalidInputError(
                f"start is {sent.start:,}, and the text has {len(text):,} characters"
            )
        end = min(len(text), sent.start + sent.limit)
        return Part(
            **to_document(document).model_dump(),
            start=sent.start,
            end=end,
            characters=len(text),
            next_start=end if end < len(text) else None,
            text=text[sent.start : end],
        )

    async def _forget(self, caller: Caller, sent: given.Forget) -> Forgotten:
        key = _possible(sent.document_id)
        forget = await asyncio.to_thread(caller.tenant.forgets.request, key)
        receipt = forget.receipt
        return Forgotten(
            document_id=receipt.document, receipt_id=receipt.id, job_url=job_url(receipt.id)
        )


def _wanted(chosen: DocumentFilter | None) -> Filter | None:
    return chosen.wanted if chosen else None


def _possible(key: str) -> str:
    if "\0" in key:
        raise DocumentNotFoundError("there is no such document: an id has no character NUL")
    return key
