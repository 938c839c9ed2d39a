"""`/mcp`: the key first, then the protocol."""

from __future__ import annotations

from typing import Any

import mcp_types as types
from fastapi import HTTPException, Request
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from mplus_ray import __version__
from mplus_ray.model.errors import MPlusError
from mplus_ray.services.api.auth import Caller, claim_place, identify
from mplus_ray.services.api.deps import Deps
from mplus_ray.services.api.limits.concurrency import Places
from mplus_ray.services.api.mcp_server import resources
from mplus_ray.services.api.mcp_server.tools import Tools
from mplus_ray.services.api.problems.responses import describe, respond

PATHS = ("/mcp", "/mcp/")  # clients and proxies add a slash, or take it away

_INSTRUCTIONS = (
    "A long-term memory. `memorize` what should be known later, `ask` it in plain words, `search` "
    "it for passages, `list` and `get` its documents, `forget` one by its id. `memorize` returns "
    "when the memory can be asked about the text. Answers come with the passages that they draw "
    "on, and say `abstained` where the memory does not hold what was asked."
)

_Context = ServerRequestContext[Any, Request]


class McpEndpoint:
    """The endpoint; the key of a request says for which tenant."""

    def __init__(self, deps: Deps, tools: Tools, places: Places) -> None:
        self._deps = deps
        self._tools = tools
        self._places = places
        self._manager: StreamableHTTPSessionManager | None = None

    def manager(self) -> StreamableHTTPSessionManager:
        """A manager for one run of the app; it keeps no sessions, so any process can answer."""
        server = Server(
            "mplus",
            version=__version__,
            title="mplus memory",
            instructions=_INSTRUCTIONS,
            on_list_tools=self._list_tools,
            on_call_tool=self._call_tool,
            on_list_resources=self._list_resources,
            on_list_resource_templates=self._list_templates,
            on_read_resource=self._read_resource,
        )
        self._manager = StreamableHTTPSessionManager(
            server,
            json_response=True,
            stateless=True,
            max_request_body_size=self._deps.limits.body_bytes,
        )
        return self._manager

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request.

        A GET would open a stream for what the server says unasked. Ours says nothing unasked, so
        there is none, as the protocol allows.
        """
        state = scope["state"]
        try:
            if scope["method"] != "POST":
                raise HTTPException(
                    405,
                    "this server says nothing unasked and keeps no sessions; POST calls to it",
                    {"allow": "POST"},
                )
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

    async def _list_tools(self, context: _Context, params: Any) -> types.ListToolsResult:
        return types.ListToolsResult(tools=self._tools.listed())

    async def _call_tool(
        self, context: _Context, params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        caller, request_id = _sender(context)
        return await self._tools.call(caller, params.name, params.arguments or {}, request_id)

    async def _list_resources(
        self, context: _Context, params: types.PaginatedRequestParams | None
    ) -> types.ListResourcesResult:
        caller, request_id = _sender(context)
        return await resources.listed(caller, params.cursor if params else None, request_id)

    async def _list_templates(
        self, context: _Context, params: Any
    ) -> types.ListResourceTemplatesResult:
        return types.ListResourceTemplatesResult(resource_templates=[resources.TEMPLATE])

    async def _read_resource(
        self, context: _Context, params: types.ReadResourceRequestParams
    ) -> types.ReadResourceResult:
        caller, request_id = _sender(context)
        return await resources.read(caller, params.uri, request_id)


def _sender(context: _Context) -> tuple[Caller, str]:
    """Whose call it is, and the id of the request that brought it."""
    assert context.request is not None, "every call comes by HTTP"
    state = context.request.state
    return state.caller, state.request_id
