"""`/mcp`: memory as tools for agents, in the Model Context Protocol over streamable HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import mcp_types as types
from fastapi import HTTPException, Request
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from mplus_ray.actors.messages import Turn
from mplus_ray.model.errors import MPlusError
from mplus_ray.pipeline.ledger.api_keys import KeyScope
from mplus_ray.services.api.ask.search_service import Searches, SearchQuery
from mplus_ray.services.api.ask.service import Answers, AskQuery
from mplus_ray.services.api.auth import Caller, claim_place, identify
from mplus_ray.services.api.deps import Deps
from mplus_ray.services.api.ingest.request_body import one_by_one
from mplus_ray.services.api.ingest.response import job_url
from mplus_ray.services.api.ingest.service import IngestService
from mplus_ray.services.api.ingest.uploads import as_arrived
from mplus_ray.services.api.limits.concurrency import Places
from mplus_ray.services.api.problems.responses import describe, respond
from mplus_ray.services.api.routes.query import to_answer
from mplus_ray.services.api.routes.search import to_results
from mplus_ray.services.api.schemas.documents import NewDocument
from mplus_ray.services.api.schemas.search import MOST_RESULTS

_INSTRUCTIONS = (
    "A long-term memory. `memorize` what should be known later, `ask` it in plain words, `search` "
    "it for passages, `forget` a document by its id. Answers come with the passages that they draw "
    "on."
)
_WAIT = 10.0  # seconds in which a memorized text is usually answerable


class _Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Memorize(_Arguments):
    """Remember a text. It can be asked about in a moment; a long one takes longer."""

    text: str = Field(min_length=1, description="What is to be remembered.")
    title: str | None = Field(None, max_length=1000, description="What to call it.")


class Ask(_Arguments):
    """Ask the memory a question. Citations are what it found close: attribution, not proof."""

    question: str = Field(min_length=1, description="In plain words.")
    threshold: float | None = Field(
        None,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="Withhold an answer of less confidence; 0 withholds nothing.",
    )


class Search(_Arguments):
    """Find passages in the memory, without an answer. `score` is the probability, from 0 to 1,
    that a passage holds what was asked."""

    query: str = Field(min_length=1, description="A question, or words to look for.")
    limit: int = Field(10, ge=1, le=MOST_RESULTS, description="So many passages at most.")
    min_score: float | None = Field(
        None, ge=0, le=1, allow_inf_nan=False, description="Leave out passages that score less."
    )


class Forget(_Arguments):
    """Forget a document: from now on no answer draws on it."""

    document_id: str = Field(min_length=1, max_length=1000, description="The document's id.")


class McpTools:
    """The tools, for whoever the key of a request names."""

    def __init__(
        self,
        deps: Deps,
        answers: Answers,
        searches: Searches,
        intake: IngestService,
        places: Places,
    ) -> None:
        self._deps = deps
        self._places = places
        self._answers = answers
        self._searches = searches
        self._intake = intake
        self._tools: dict[str, tuple[type[_Arguments], Callable[..., Awaitable[Any]]]] = {
            "memorize": (Memorize, self._memorize),
            "ask": (Ask, self._ask),
            "search": (Search, self._search),
            "forget": (Forget, self._forget),
        }
        self._manager: StreamableHTTPSessionManager | None = None

    def manager(self) -> StreamableHTTPSessionManager:
        """A manager for one run of the app; it keeps no sessions, so any process can answer."""
        server = Server(
            "mplus",
            instructions=_INSTRUCTIONS,
            on_list_tools=self._list,
            on_call_tool=self._call,
        )
        self._manager = StreamableHTTPSessionManager(
            server,
            json_response=True,
            stateless=True,
            max_request_body_size=self._deps.limits.body_bytes,
        )
        return self._manager

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The endpoint: the key first, then the protocol.

        A GET would open a stream for what the server says unasked. Ours says nothing unasked, so
        there is none, as the protocol allows.
        """
        state = scope["state"]
        try:
            if scope["method"] != "POST":
                raise HTTPException(405, headers={"allow": "POST"})
            caller = await identify(self._deps, Headers(scope=scope).get("authorization"))
            _ = caller.tenant  # an operator has none
            claim_place(self._places, state["place"], caller)
        except (MPlusError, HTTPException) as error:
            answer = respond(describe(error), scope["path"], state["request_id"])
            await answer(scope, receive, send)
            return
        state["caller"] = caller
        assert self._manager is not None, "the app's lifespan has begun"
        await self._manager.handle_request(scope, receive, send)

    async def _list(self, context: Any, params: Any) -> types.ListToolsResult:
        tools = [
            types.Tool(
                name=name,
                description=arguments.__doc__,
                input_schema=arguments.model_json_schema(),
            )
            for name, (arguments, _) in self._tools.items()
        ]
        return types.ListToolsResult(tools=tools)

    async def _call(
        self, context: ServerRequestContext[Any, Request], params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        assert context.request is not None, "every call comes by HTTP"
        caller: Caller = context.request.state.caller
        if params.name not in self._tools:
            return _failed(f"there is no tool {params.name[:80]!r}")
        model, work = self._tools[params.name]
        try:
            arguments = model.model_validate(params.arguments or {})
            result = await work(caller, arguments)
        except ValidationError as error:
            wrong = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:5]]
            return _failed("; ".join(wrong))
        except MPlusError as error:
            return _failed(describe(error).detail)
        text = json.dumps(result, ensure_ascii=False)
        return types.CallToolResult(
            content=[types.TextContent(type="text", text=text)], structured_content=result
        )

    async def _memorize(self, caller: Caller, sent: Memorize) -> dict[str, Any]:
        caller.key.require(KeyScope.INGEST)
        document = NewDocument(text=sent.text, title=sent.title, id=None, metadata=None)
        arriving = one_by_one([as_arrived(document)])
        taken = await self._intake.take_in(caller.tenant, arriving)
        taken, done = await self._intake.wait(caller.tenant, taken, _WAIT)
        return {"document_id": taken.id, "memorized": done, "job_url": taken.job_url}

    async def _ask(self, caller: Caller, sent: Ask) -> dict[str, Any]:
        caller.key.require(KeyScope.QUERY)
        turns = (Turn("user", sent.question),)
        self._answers.check(turns, 1)
        question = AskQuery(turns=turns, sampling={"max_tokens": 64}, threshold=sent.threshold)
        return to_answer(await self._answers.reply(caller.tenant, question)).model_dump()

    async def _search(self, caller: Caller, sent: Search) -> dict[str, Any]:
        caller.key.require(KeyScope.QUERY)
        query = SearchQuery(sent.query, sent.limit, sent.min_score)
        return to_results(await self._searches.search(caller.tenant, query)).model_dump()

    async def _forget(self, caller: Caller, sent: Forget) -> dict[str, Any]:
        caller.key.require(KeyScope.INGEST)
        key = sent.document_id.replace("\0", "?")
        forget = await asyncio.to_thread(caller.tenant.forgets.request, key)
        return {"document_id": forget.receipt.document, "job_url": job_url(forget.receipt.id)}


def _failed(why: str) -> types.CallToolResult:
    return types.CallToolResult(content=[types.TextContent(type="text", text=why)], is_error=True)
