"""Memory as tools: the official client of the Model Context Protocol, with a real server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from tests.api_world import ApiWorld, bearer, serving, until
from tests.worlds import load_model

INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}
ACCEPT = {"accept": "application/json, text/event-stream"}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiWorld]:
    folder = tmp_path_factory.mktemp("mcp")
    with serving(load_model(folder / "checkpoint"), folder, loopback=True) as world:
        yield world


def talk(
    api: ApiWorld, headers: dict[str, str], say: Callable[[Client], Awaitable[Any]], mode: str
) -> Any:
    """What a client with this key hears."""

    async def run() -> Any:
        async with httpx2.AsyncClient(headers=headers) as http:
            transport = streamable_http_client(f"{api.url}/mcp", http_client=http)
            async with Client(transport, mode=mode) as client:
                return await say(client)

    return asyncio.run(run())


def call(api: ApiWorld, headers: dict[str, str], tool: str, **arguments: Any) -> Any:
    result = talk(api, headers, lambda client: client.call_tool(tool, arguments), "auto")
    text = result.content[0].text
    return (result.is_error, text if result.is_error else json.loads(text))


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_the_tools_are_listed(api: ApiWorld, mode: str) -> None:
    listed = talk(api, api.fresh(), lambda client: client.list_tools(), mode)
    tools = {tool.name: tool for tool in listed.tools}
    assert set(tools) == {"memorize", "ask", "search", "forget"}
    assert set(tools["memorize"].input_schema["properties"]) == {"text", "title"}
    assert tools["ask"].input_schema["required"] == ["question"]
    assert all(tool.description for tool in listed.tools)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_an_agent_memorizes_asks_and_forgets(api: ApiWorld, mode: str) -> None:
    headers = api.fresh()

    async def story(client: Client) -> list[Any]:
        text = "The raven is black."
        memorized = await client.call_tool("memorize", {"text": text, "title": "Raven"})
        document = memorized.structured_content["document_id"]
        told = await client.call_tool("ask", {"question": "Who is black?"})
        found = await client.call_tool("search", {"query": "Who is black?", "limit": 3})
        forgotten = await client.call_tool("forget", {"document_id": document})
        return [memorized, told, found, forgotten]

    memorized, told, found, forgotten = talk(api, headers, story, mode)
    assert memorized.structured_content["memorized"]
    (title,) = {each["title"] for each in told.structured_content["citations"]}
    assert title == "Raven"
    assert json.loads(told.content[0].text) == told.structured_content
    assert {each["title"] for each in found.structured_content["results"]} == {"Raven"}
    assert 0 < len(found.structured_content["results"]) <= 3
    assert json.loads(found.content[0].text) == found.structured_content
    job = forgotten.structured_content["job_url"]
    until(lambda: api.client.get(job, headers=headers).json()["state"] == "done")


def test_what_goes_wrong_is_told_to_the_agent(api: ApiWorld) -> None:
    headers = api.fresh()
    assert call(api, headers, "forget", document_id="none") == (
        True,
        "there is no document 'none'; list the tenant's documents to find its id",
    )
    assert call(api, headers, "ask")[0]
    assert call(api, headers, "ask", question="x" * 40_000)[0]
    assert call(api, headers, "search", query="Who?", limit=0)[0]
    assert call(api, headers, "search", query="Who?", min_score=0.5, limit=1)[1]["results"] == []
    assert call(api, headers, "memorize", text="   ")[0]
    assert call(api, headers, "nothing")[0]


def test_a_key_may_do_what_its_scopes_say(api: ApiWorld) -> None:
    headers = api.fresh("query")
    failed, why = call(api, headers, "memorize", text="The raven is black.")
    assert failed
    assert "scope ingest" in why
    assert not call(api, headers, "ask", question="Who?")[0]
    assert not call(api, headers, "search", query="Who?")[0]
    assert call(api, api.fresh("ingest"), "search", query="Who?")[0]


def test_two_tenants_do_not_meet(api: ApiWorld) -> None:
    ours, theirs = api.fresh(), api.fresh()
    _, taken = call(api, ours, "memorize", text="The raven is black.")
    assert call(api, theirs, "forget", document_id=taken["document_id"])[0]
    assert call(api, theirs, "ask", question="Who is black?")[1]["citations"] == []
    assert call(api, theirs, "search", query="Who is black?")[1]["results"] == []


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer wrong"}])
def test_without_a_key_nothing_is_said(api: ApiWorld, headers: dict[str, str]) -> None:
    answer = api.client.post("/mcp", json=INITIALIZE, headers={**headers, **ACCEPT})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_the_operator_has_no_memory(api: ApiWorld) -> None:
    headers = {**bearer(api.operator), **ACCEPT}
    assert api.client.post("/mcp", json=INITIALIZE, headers=headers).status_code == 403
