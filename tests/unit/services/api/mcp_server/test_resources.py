"""Documents as resources: the official client of the Model Context Protocol, with a real server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from mcp import Client, MCPError

from mplus_ray.services.api.mcp_server import resources
from tests.api_world import ApiWorld, serving
from tests.unit.services.api.mcp_server.test_tools import call, talk
from tests.worlds import load_model


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiWorld]:
    folder = tmp_path_factory.mktemp("resources")
    with serving(load_model(folder / "checkpoint"), folder, loopback=True) as world:
        yield world


def read(api: ApiWorld, headers: dict[str, str], uri: str, mode: str = "auto") -> Any:
    return talk(api, headers, lambda client: client.read_resource(uri), mode)


def refused(api: ApiWorld, headers: dict[str, str], uri: str) -> str:
    """Why a resource is not read."""

    async def say(client: Client) -> MCPError:
        with pytest.raises(MCPError) as error:
            await client.read_resource(uri)
        return error.value

    error = talk(api, headers, say, "auto")
    assert error.code == -32602
    return str(error.message)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
@pytest.mark.parametrize("key", ["raven", "birds/räven 1", "a?b#c%2f", "a//b"])
def test_every_document_that_is_listed_can_be_read(api: ApiWorld, key: str, mode: str) -> None:
    headers = api.fresh()
    text = "The raven is black. " * 100 + "ä"
    call(api, headers, "memorize", text=text, id=key, title="Raven")
    listed = talk(api, headers, lambda client: client.list_resources(), mode)
    (resource,) = listed.resources
    assert (resource.name, resource.title, resource.mime_type) == (key, "Raven", "text/plain")
    (contents,) = read(api, headers, resource.uri, mode).contents
    assert (contents.text, contents.uri) == (text, resource.uri)


def test_the_template_names_them(api: ApiWorld) -> None:
    listed = talk(api, api.fresh(), lambda client: client.list_resource_templates(), "auto")
    (template,) = listed.resource_templates
    assert template.uri_template == "mplus://documents/{+document_id}"
    assert resources.uri_of("birds/raven") == "mplus://documents/birds/raven"


def test_they_are_listed_page_by_page(api: ApiWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "_PAGE", 2)
    headers = api.fresh()
    for number in range(5):
        call(api, headers, "memorize", text=f"Keeper {number} waits.", id=f"keeper {number}")

    async def pages(client: Client) -> list[list[str]]:
        found, cursor = [], None
        while True:
            page = await client.list_resources(cursor=cursor)
            found.append([each.name for each in page.resources])
            if (cursor := page.next_cursor) is None:
                return found

    found = talk(api, headers, pages, "auto")
    assert list(map(len, found)) == [2, 2, 1]
    named = [name for page in found for name in page]
    assert named == [f"keeper {number}" for number in range(5)]


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("mplus://documents/none", "there is no document 'none'"),
        ("mplus://documents/", "documents are mplus://documents/ and an id"),
        ("mplus://documents/a%00b", "there is no resource"),
        ("file:///etc/passwd", "there is no resource"),
    ],
)
def test_what_is_not_there_is_said(api: ApiWorld, uri: str, why: str) -> None:
    assert why in refused(api, api.fresh(), uri)


def test_what_is_forgotten_anothers_or_too_long_is_not_read(
    api: ApiWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = api.fresh()
    call(api, headers, "memorize", text="The raven is black.", id="raven")
    uri = "mplus://documents/raven"
    assert "there is no document" in refused(api, api.fresh(), uri)
    assert "scope" in refused(api, api.headers(api.log(headers), "admin"), uri)
    with monkeypatch.context() as patch:
        patch.setattr(resources, "_MOST", 10)
        assert "with the tool `get`" in refused(api, headers, uri)
    call(api, headers, "forget", document_id="raven")
    assert "raven" in refused(api, headers, uri)
    listed = talk(api, headers, lambda client: client.list_resources(), "auto")
    assert listed.resources == []


def test_a_cursor_that_is_none_is_refused(api: ApiWorld) -> None:
    async def say(client: Client) -> None:
        with pytest.raises(MCPError, match="the cursor is not one that a page ended with"):
            await client.list_resources(cursor="nonsense")

    talk(api, api.fresh(), say, "auto")
