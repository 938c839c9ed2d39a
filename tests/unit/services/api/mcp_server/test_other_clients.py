"""Clients of other people's making: FastMCP's, and the official one for TypeScript."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from tests import npm
from tests.api_world import ApiWorld, serving
from tests.worlds import load_model

TEXT = "The raven is black."
TYPESCRIPT = """
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";

const requestInit = { headers: { authorization: process.env.AUTHORIZATION } };
const transport = new StreamableHTTPClientTransport(new URL(process.env.URL), { requestInit });
const client = new Client({ name: "test", version: "1" });
await client.connect(transport);
const { tools } = await client.listTools();
const call = (name, args) => client.callTool({ name, arguments: args });
const memorized = await call("memorize", { text: process.env.TEXT, id: "birds/raven" });
const told = await call("ask", {
  question: "Who is black?",
  min_step: memorized.structuredContent.min_step,
});
const wrong = await call("ask", { query: "Who?" });
const { resources } = await client.listResources();
const read = await client.readResource({ uri: resources[0].uri });
const forgotten = await call("forget", { document_id: "birds/raven" });
await client.close();
console.log(JSON.stringify({ tools, memorized, told, wrong, read, forgotten }));
"""


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiWorld]:
    folder = tmp_path_factory.mktemp("clients")
    with serving(load_model(folder / "checkpoint"), folder, loopback=True) as world:
        yield world


@pytest.mark.parametrize("path", ["/mcp", "/mcp/"])
def test_fastmcp(api: ApiWorld, path: str) -> None:
    fastmcp = pytest.importorskip("fastmcp", reason="FastMCP is not installed")
    from fastmcp.client.transports import StreamableHttpTransport

    async def story() -> dict[str, Any]:
        transport = StreamableHttpTransport(f"{api.url}{path}", headers=api.fresh())
        async with fastmcp.Client(transport) as client:
            tools = {tool.name: tool for tool in await client.list_tools()}
            memorized = await client.call_tool("memorize", {"text": TEXT, "id": "birds/raven"})
            step = memorized.structured_content["min_step"]
            told = await client.call_tool("ask", {"question": "Who is black?", "min_step": step})
            found = await client.call_tool("search", {"query": "Who is black?"})
            listed = await client.call_tool("list", {})
            wrong = await client.call_tool("ask", {"query": "Who?"}, raise_on_error=False)
            (resource,) = await client.list_resources()
            (contents,) = await client.read_resource(resource.uri)
            (template,) = await client.list_resource_templates()
            forgotten = await client.call_tool("forget", {"document_id": "birds/raven"})
        return {**locals()}

    said = asyncio.run(story())
    assert set(said["tools"]) == {"memorize", "ask", "search", "list", "get", "forget"}
    assert said["memorized"].structured_content["memorized"]
    cited = said["told"].structured_content["citations"]
    assert {each["document_id"] for each in cited} == {"birds/raven"}
    results = said["found"].structured_content["results"]
    assert {each["document_id"] for each in results} == {"birds/raven"}
    assert said["listed"].structured_content["documents"][0]["id"] == "birds/raven"
    assert said["wrong"].is_error
    assert "question: Field required" in said["wrong"].content[0].text
    assert said["contents"].text == TEXT
    assert said["forgotten"].structured_content["document_id"] == "birds/raven"


@pytest.mark.timeout(200)
def test_the_official_one_for_typescript(
    api: ApiWorld, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = npm.installed(tmp_path_factory.mktemp("node"), "@modelcontextprotocol/client@2")
    given = {"URL": f"{api.url}/mcp", "TEXT": TEXT}
    said = npm.run(folder, TYPESCRIPT, AUTHORIZATION=api.fresh()["authorization"], **given)
    hints = {tool["name"]: tool["annotations"] for tool in said["tools"]}
    assert hints["forget"]["destructiveHint"]
    assert hints["ask"]["readOnlyHint"]
    assert said["memorized"]["structuredContent"]["memorized"]
    cited = said["told"]["structuredContent"]["citations"]
    assert {each["document_id"] for each in cited} == {"birds/raven"}
    assert said["wrong"]["isError"]
    assert said["read"]["contents"][0]["text"] == TEXT
    assert said["forgotten"]["structuredContent"]["document_id"] == "birds/raven"
