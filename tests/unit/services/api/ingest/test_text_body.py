"""A text as the body of a request is a document, named by the URL."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.api_world import ApiWorld, serving
from tests.worlds import load_model


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiWorld]:
    folder = tmp_path_factory.mktemp("texts")
    with serving(load_model(folder / "checkpoint"), folder, writer=False) as world:
        yield world


def send(
    api: ApiWorld, headers: dict[str, str], content: bytes, kind: str, **query: Any
) -> tuple[int, Any]:
    sent = {**headers, "content-type": kind}
    answer = api.client.post("/v1/documents", content=content, headers=sent, params=query)
    return answer.status_code, answer.json()


def shown(api: ApiWorld, headers: dict[str, str], document: str) -> Any:
    return api.client.get(f"/v1/documents/{document}", headers=headers).json()


def test_a_plain_text_stands_as_it_is(api: ApiWorld) -> None:
    headers = api.fresh()
    text = "# no heading\n<p>no tag, ä € 漢"
    status, taken = send(api, headers, text.encode(), "text/plain", id="a/b", title="A note")
    assert (status, taken["id"], taken["taken_in"]) == (202, "a/b", 1)
    found = shown(api, headers, "a/b")
    assert (found["title"], api.log(headers).text("a/b")) == ("A note", text)


def test_without_a_name_it_gets_one_of_its_own(api: ApiWorld) -> None:
    headers = api.fresh()
    _, first = send(api, headers, b"The owl is brown.", "text/plain; charset=utf-8")
    _, again = send(api, headers, b"The owl is brown.", "TEXT/PLAIN")
    assert first["id"].startswith("text-")
    assert (again["id"], again["known"]) == (first["id"], 1)
    assert shown(api, headers, first["id"])["title"] == "The owl is brown."


def test_markdown_has_its_headings(api: ApiWorld) -> None:
    headers = api.fresh()
    text = "# Owls\n\nThey hunt at night.\n\n## Colour\n\nThe owl is brown.\n"
    _, taken = send(api, headers, text.encode(), "text/markdown", id="owls")
    assert taken["id"] == "owls"
    found = shown(api, headers, "owls")
    assert found["title"] == "Owls"
    assert {passage["section"] for passage in found["passages"]} & {"Owls", "Colour"}
    _, taken = send(api, headers, text.encode(), "text/markdown", id="named", title="Mine")
    assert shown(api, headers, "named")["title"] == "Mine"
    _, taken = send(api, headers, b"No heading here.", "text/markdown")
    assert shown(api, headers, taken["id"])["title"] == "No heading here."


@pytest.mark.parametrize("kind", ["text/plain", "text/markdown"])
def test_the_charset_is_the_one_that_is_named(api: ApiWorld, kind: str) -> None:
    headers = api.fresh()
    sent = "Das Öl läuft.".encode("latin-1")
    send(api, headers, sent, f"{kind}; charset=ISO-8859-1", id="oil")
    assert api.log(headers).text("oil") == "Das Öl läuft."
    status, wrong = send(api, headers, sent, f"{kind}; charset=utf-8")
    assert status == 422
    assert "UTF-8" in wrong["failed"][0]["reason"]
    status, wrong = send(api, headers, sent, f"{kind}; charset=klingon")
    assert (status, wrong["detail"]) == (415, "the charset 'klingon' is unknown; send utf-8")


@pytest.mark.parametrize("kind", ["text/plain", "text/markdown"])
@pytest.mark.parametrize("content", [b"", b"  \n", b"\x00\x01\x02" * 40])
def test_what_has_no_text_is_refused(api: ApiWorld, kind: str, content: bytes) -> None:
    status, refused = send(api, api.fresh(), content, kind)
    assert status == 422
    assert refused["failed"]


@pytest.mark.parametrize("kind", ["text/plain", "text/markdown"])
def test_an_impossible_id_is_refused(api: ApiWorld, kind: str) -> None:
    status, refused = send(api, api.fresh(), b"The owl is brown.", kind, id="../up")
    assert status == 422
    assert "another id" in refused["detail"]


def test_elsewhere_the_url_names_nothing(api: ApiWorld) -> None:
    status, refused = send(api, api.fresh(), b'{"text": "x"}', "application/json", id="a")
    assert status == 422
    assert "say them in the body" in refused["detail"]


def test_an_idempotency_key_is_of_text_and_name(api: ApiWorld) -> None:
    headers = {**api.fresh(), "idempotency-key": "once"}
    first = send(api, headers, b"The owl is brown.", "text/plain", id="owl")
    assert send(api, headers, b"The owl is brown.", "text/plain", id="owl") == first
    assert send(api, headers, b"The owl is brown.", "text/plain", id="raven")[0] == 409


def test_other_types_are_refused_with_what_is_taken(api: ApiWorld) -> None:
    status, refused = send(api, api.fresh(), b"x", "text/csv")
    assert status == 415
    assert "text/markdown" in refused["detail"]
