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

from tests.api_world import SECONDS, ApiWorld, bearer, serving, until
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
        async with httpx2.AsyncClient(headers=headers, timeout=SECONDS) as http:
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
    assert set(tools) == {"memorize", "ask", "search", "list", "get", "forget"}
    assert tools["ask"].input_schema["required"] == ["question"]
    assert all(tool.title and tool.description for tool in listed.tools)
    assert all(tool.output_schema["type"] == "object" for tool in listed.tools)
    hints = {name: tool.annotations for name, tool in tools.items()}
    assert {name for name, hint in hints.items() if not hint.read_only_hint} == {
        "memorize",
        "forget",
    }
    assert {name for name, hint in hints.items() if hint.destructive_hint} == {
        "memorize",
        "forget",
    }
    assert all(hint.idempotent_hint and hint.open_world_hint is False for hint in hints.values())


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


def test_an_id_names_a_text_and_replaces_another(api: ApiWorld) -> None:
    headers = api.fresh()
    sent = {"text": "The raven is black.", "id": "birds/raven", "metadata": {"by": "Ilse"}}
    _, first = call(api, headers, "memorize", **sent)
    assert first["document_id"] == "birds/raven"
    assert (first["memorized"], first["known"], first["replaced"]) == (True, False, False)
    assert call(api, headers, "memorize", **sent)[1]["known"]
    _, other = call(api, headers, "memorize", text="The raven is grey.", id="birds/raven")
    assert other["replaced"]
    _, found = call(api, headers, "get", document_id="birds/raven")
    assert (found["text"], found["metadata"]["format"]) == ("The raven is grey.", "json")


def test_an_agent_that_does_not_wait_asks_with_the_step(api: ApiWorld) -> None:
    headers = api.fresh()
    text = "The raven is black. " * 40
    _, taken = call(api, headers, "memorize", text=text, id="raven", wait=False)
    step = taken["min_step"]
    assert step > 0
    _, told = call(api, headers, "ask", question="Who is black?", min_step=step, max_tokens=4)
    assert told["step"] >= step
    assert told["citations"]
    assert call(api, headers, "search", query="Who is black?", min_step=step)[1]["step"] >= step
    failed, why = call(api, headers, "ask", question="Who is black?", min_step=step + 9)
    assert failed
    assert str(step) in why


def test_a_filter_leaves_the_others_out(api: ApiWorld) -> None:
    headers = api.fresh()
    said = {"raven": ("The raven is black.", "a"), "owl": ("The owl is brown.", "b")}
    for key, (text, session) in said.items():
        more = {"session": session, "tags": ["bird", key], "metadata": {"by": key}}
        failed, why = call(api, headers, "memorize", text=text, id=key, **more)
        assert not failed, why
    for chosen in (
        {"session": "b"},
        {"tags": "owl"},
        {"ids": ["owl"]},
        {"metadata": {"by": "owl"}},
    ):
        _, told = call(api, headers, "ask", question="Who is black?", filter=chosen)
        assert {each["document_id"] for each in told["citations"]} == {"owl"}, chosen
        _, found = call(api, headers, "search", query="Who is black?", filter=chosen)
        assert {each["document_id"] for each in found["results"]} == {"owl"}, chosen
        _, listed = call(api, headers, "list", filter=chosen)
        assert [each["id"] for each in listed["documents"]] == ["owl"], chosen
    failed, why = call(api, headers, "ask", question="Who?", filter={"sesion": "b"})
    assert failed
    assert "filter.sesion: there is no such argument" in why
    assert call(api, headers, "memorize", text="x", occurred_at="yesterday")[0]


def test_documents_are_listed_and_read_in_parts(api: ApiWorld) -> None:
    headers = api.fresh()
    text = "".join(f"Keeper {number} waits. " for number in range(300)).strip()
    for key in ("a", "b/c", "d"):
        call(api, headers, "memorize", text=f"{key}: {text}", id=key, title=f"Title {key}")
    _, page = call(api, headers, "list", limit=2)
    assert [each["id"] for each in page["documents"]] == ["a", "b/c"]
    _, rest = call(api, headers, "list", cursor=page["next_cursor"])
    assert ([each["id"] for each in rest["documents"]], rest["next_cursor"]) == (["d"], None)
    _, named = call(api, headers, "list", q="title B")
    assert [each["id"] for each in named["documents"]] == ["b/c"]
    start: int | None = 0
    read, part = "", {}
    while start is not None:
        _, part = call(api, headers, "get", document_id="b/c", start=start, limit=2500)
        assert len(part["text"]) <= 2500
        assert (part["start"], part["title"]) == (start, "Title b/c")
        read, start = read + part["text"], part["next_start"]
    assert read == f"b/c: {text}"
    assert part["characters"] == part["end"] == len(read)


def test_what_goes_wrong_is_told_to_the_agent(api: ApiWorld) -> None:
    headers = api.fresh()
    assert call(api, headers, "memorise", text="x") == (
        True,
        "there is no tool 'memorise'; there are memorize, ask, search, list, get, forget",
    )
    assert call(api, headers, "ask", query="Who?", top_k=3) == (
        True,
        "question: Field required; query: there is no such argument; top_k: there is no such "
        "argument. The arguments of ask are: question (required), min_step, threshold, citations, "
        "max_tokens, filter.",
    )
    assert "another id" in call(api, headers, "memorize", text="x", id="../up")[1]
    assert "cursor" in call(api, headers, "list", cursor="nonsense")[1]
    other = api.fresh()
    call(api, other, "memorize", text="The raven is black.", id="raven")
    assert call(api, other, "get", document_id="raven", start=99)[1].startswith("start is 99")
    assert call(api, headers, "get", document_id="none")[0]
    limited = api.fresh(documents_per_minute=0)
    assert "call again in" in call(api, limited, "memorize", text="The raven is black.")[1]
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


def test_what_nobody_foresaw_is_told_without_its_details(
    api: ApiWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: object, *_: object) -> None:
        raise KeyError("hunter2")

    monkeypatch.setattr("mplus_ray.pipeline.ledger.tenant_log.TenantLog.page", fail)
    failed, why = call(api, api.fresh(), "list")
    assert failed
    assert "something went wrong here that is not your doing" in why
    assert "hunter2" not in why


def test_a_slash_at_the_end_makes_no_difference(api: ApiWorld) -> None:
    headers = {**api.fresh(), **ACCEPT}
    for path in ("/mcp", "/mcp/"):
        answer = api.client.post(path, json=INITIALIZE, headers=headers)
        assert answer.status_code == 200, answer.text
        assert answer.json()["result"]["serverInfo"]["name"] == "mplus"
        assert api.client.get(path, headers=headers).headers["allow"] == "POST"


def test_a_key_may_do_what_its_scopes_say(api: ApiWorld) -> None:
    headers = api.fresh("query")
    failed, why = call(api, headers, "memorize", text="The raven is black.")
    assert failed
    assert "scope ingest" in why
    assert not call(api, headers, "ask", question="Who?")[0]
    assert not call(api, headers, "search", query="Who?")[0]
    writer = api.fresh("ingest")
    for tool, sent in (("search", {"query": "Who?"}), ("ask", {"question": "Who?"})):
        failed, why = call(api, writer, tool, **sent)
        assert failed
        assert "scope query" in why
    assert call(api, writer, "list") == (False, {"documents": [], "next_cursor": None})
    assert call(api, api.fresh("admin"), "list")[0]


def test_two_tenants_do_not_meet(api: ApiWorld) -> None:
    ours, theirs = api.fresh(), api.fresh()
    _, taken = call(api, ours, "memorize", text="The raven is black.")
    assert call(api, theirs, "forget", document_id=taken["document_id"])[0]
    assert call(api, theirs, "get", document_id=taken["document_id"])[0]
    assert call(api, theirs, "list")[1]["documents"] == []
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
