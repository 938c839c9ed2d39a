"""mplus-client against a service of `mplus serve`, also from a wheel in an empty environment."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import httpx
import pytest

from mplus_client import AsyncClient, Client, IncompleteError, NotFoundError
from mplus_client.adapters.anthropic import MPlusMemoryTool
from mplus_client.adapters.langgraph import MPlusStore
from mplus_ray import __version__
from tests.integration.server import Server
from tests.paths import ROOT

pytestmark = pytest.mark.timeout(600)  # on a machine that has other things to do

SCRIPT = """
import asyncio, json, sys
from importlib.metadata import distributions, version
from mplus_client import AsyncClient, Client, NotFoundError

url, key = sys.argv[1:]
with Client(url, key) as client:
    client.memorize("Maren Tolva lives in Dorvas.", id="people/maren tolva", wait=60)
    answer = client.query("Where does Maren Tolva live?", max_tokens=4)
    try:
        client.document("nobody")
    except NotFoundError as error:
        refused = error.problem.type

async def found():
    async with AsyncClient(url, key) as client:
        return [hit.document_id for hit in (await client.search("Maren")).results]

print(json.dumps({
    "cited": answer.citations[0].document_id,
    "found": asyncio.run(found()),
    "refused": refused,
    "version": version("mplus-client"),
    "there": sorted({d.metadata["Name"].lower() for d in distributions()}),
    "torch": bool({"torch", "ray", "mplus_ray"} & sys.modules.keys()),
}))
"""


def key_of(tenant: httpx.Client) -> str:
    return tenant.headers["authorization"].removeprefix("Bearer ")


@pytest.fixture
def client(server: Server, tenant: httpx.Client) -> Any:
    with Client(server.url, key_of(tenant)) as client:
        yield client


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT / "services" / "client", check=True, capture_output=True)
    (wheel,) = folder.glob("mplus_client-*.whl")
    return wheel


def test_a_wheel_in_an_empty_environment(
    server: Server, tenant: httpx.Client, wheel: Path, tmp_path: Path
) -> None:
    venv.create(tmp_path / "venv", with_pip=False)
    python = tmp_path / "venv" / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    constraints = ROOT / "constraints.txt"
    subprocess.run([*pip, "-c", str(constraints), str(wheel)], check=True, capture_output=True)
    done = subprocess.run(
        [python, "-I", "-c", SCRIPT, server.url, key_of(tenant)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["cited"] == "people/maren tolva"
    assert said["found"] == ["people/maren tolva"]
    assert said["refused"] == "urn:mplus:problem:document-not-found"
    assert said["version"] == __version__
    assert not said["torch"]
    assert set(said["there"]) <= {
        *("annotated-types", "anyio", "certifi", "h11", "httpcore", "httpx", "idna"),
        *("mplus-client", "pydantic", "pydantic_core", "typing-inspection", "typing_extensions"),
    }


def test_awkward_ids_pass_every_proxy(client: Client) -> None:
    for name in ("a/b c", "q?x=1#y", "a%2Fb", "...", "é;ü", "50%"):
        client.memorize(f"Keeper of {name} waits.", id=name)
        assert client.document(name).id == name
        client.delete_document(name)
    with pytest.raises(NotFoundError):
        client.document("..")


def test_a_stream_that_is_left(client: Client) -> None:
    client.memorize("The raven is black.", wait=60)
    with client.stream_query("Which colour has the raven?", max_tokens=40) as stream:
        next(iter(stream))
    with pytest.raises(IncompleteError):
        _ = stream.result
    whole = client.stream_query("Which colour has the raven?", max_tokens=4)
    assert "".join(whole) == whole.result.answer


def test_many_questions_at_once(server: Server, tenant: httpx.Client) -> None:
    async def run() -> list[int]:
        async with AsyncClient(server.url, key_of(tenant)) as client:
            taken = await client.memorize("The owl is brown.", wait=60)
            asked = (
                client.query("Which colour has the owl?", max_tokens=4, min_step=taken.min_step)
                for _ in range(12)
            )
            return [answer.step for answer in await asyncio.gather(*asked)]

    assert asyncio.run(run()) == [1] * 12


def test_adapters_with_a_real_service(client: Client) -> None:
    store = MPlusStore(client)
    store.put(("birds",), "owl", {"text": "The owl is brown."})
    (found,) = store.search(("birds",), query="Which colour has the owl?")
    assert found.value == {"text": "The owl is brown."}
    tool = MPlusMemoryTool(client)
    tool.call({"command": "create", "path": "/memories/a.txt", "file_text": "one\n"})
    assert "     1\tone" in str(tool.call({"command": "view", "path": "/memories/a.txt"}))
