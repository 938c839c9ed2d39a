"""Filters, times and expiry over HTTP: what a request is about, and what is gone in time."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from mplus_ray.model import MPlus
from tests.api_world import ApiWorld, endless_model, serving, until


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> MPlus:
    return endless_model(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="module")
def api(model: MPlus, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiWorld]:
    with serving(model, tmp_path_factory.mktemp("filters")) as world:
        yield world


BIRDS: list[dict[str, Any]] = [
    {"id": "raven", "text": "The raven is black.", "tags": ["bird"], "session": "s1"},
    {"id": "owl", "text": "The owl is brown.", "tags": ["bird"], "metadata": {"year": 2020}},
    {
        "id": "fox",
        "text": "The fox is red.",
        "metadata": {"year": 2021},
        "occurred_at": "1999-05-01",
    },
]


@pytest.fixture
def told(api: ApiWorld) -> dict[str, str]:
    headers = api.fresh()
    for document in BIRDS:
        api.memorize(headers, **document)
    return headers


@pytest.mark.parametrize(
    ("wanted", "left"),
    [
        ({"tags": "bird"}, {"raven", "owl"}),
        ({"tags": ["bird"], "session": ["s1", "s2"]}, {"raven"}),
        ({"ids": ["fox", "owl"]}, {"fox", "owl"}),
        ({"metadata": {"year": {"gt": 2020}}}, {"fox"}),
        ({"before": "2000-01-01"}, {"fox"}),
        ({"after": "2000-01-01"}, {"raven", "owl"}),
        ({"session": "of nobody"}, set()),
        ({}, {"raven", "owl", "fox"}),
    ],
)
def test_every_door_sees_what_a_filter_leaves(
    api: ApiWorld, told: dict[str, str], wanted: dict[str, Any], left: set[str]
) -> None:
    sent = {"query": "What colour is it?", "limit": 20, "filter": wanted}
    found = api.client.post("/v1/search", json=sent, headers=told).json()
    assert {hit["document_id"] for hit in found["results"]} == left
    answer = api.ask(told, "What colour is it?", citations=20, filter=wanted)
    assert answer.status_code == 200, answer.text
    assert {one["document_id"] for one in answer.json()["citations"]} == left
    chat = {
        "model": api.deps.model_name,
        "messages": [{"role": "user", "content": "What colour is the owl?"}],
        "filter": wanted,
        "citations": 20,
    }
    reply = api.client.post("/v1/chat/completions", json=chat, headers=told).json()
    assert {one["document_id"] for one in reply["mplus"]["citations"]} == left
    url = f"/v1/documents?filter={json.dumps(wanted)}"
    page = api.client.get(url, headers=told).json()
    assert {one["id"] for one in page["documents"]} == left


def test_openai_s_metadata_chooses_documents(api: ApiWorld, told: dict[str, str]) -> None:
    chat: dict[str, Any] = {
        "model": api.deps.model_name,
        "messages": [{"role": "user", "content": "What colour is the owl?"}],
        "citations": 20,
    }
    for metadata, left in (({"session": "s1"}, {"raven"}), ({"year": "2020"}, {"owl"})):
        sent = {**chat, "metadata": metadata}
        reply = api.client.post("/v1/chat/completions", json=sent, headers=told).json()
        assert {one["document_id"] for one in reply["mplus"]["citations"]} == left
    both = {**chat, "metadata": {"session": "s1"}, "filter": {"session": "s2"}}
    assert api.client.post("/v1/chat/completions", json=both, headers=told).status_code == 422


def test_a_filter_shows_nothing_of_a_neighbour(api: ApiWorld, told: dict[str, str]) -> None:
    other = api.fresh()
    api.memorize(other, "The jay is blue.", id="jay", tags=["bird"], session="s1")
    sent = {"query": "What colour?", "limit": 20, "filter": {"tags": ["bird"]}}
    found = api.client.post("/v1/search", json=sent, headers=other).json()
    assert {hit["document_id"] for hit in found["results"]} == {"jay"}
    gone = api.client.delete('/v1/documents?filter={"tags":["bird"]}', headers=other)
    assert gone.json()["documents"] == 1
    assert api.client.get("/v1/documents/raven", headers=told).json()["state"] == "memorized"


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"tag": "x"}, "tag"),
        ({"tags": []}, "empty list"),
        ({"session": [], "before": "2020-01-01"}, "empty list"),
        ({"metadata": {"draft": {"gt": True}}}, "no order"),
        ({"tags": [str(n) for n in range(101)]}, "at most"),
        ({"metadata": {"year": {"over": 3}}}, "over"),
        ({"after": "yesterday"}, "yesterday"),
        ({"after": "2021-01-01", "before": "2020-01-01"}, "no time"),
    ],
)
def test_a_filter_that_cannot_be_read_is_refused(
    api: ApiWorld, told: dict[str, str], wanted: dict[str, Any], said: str
) -> None:
    sent = {"query": "What?", "filter": wanted}
    for answer in (
        api.client.post("/v1/search", json=sent, headers=told),
        api.ask(told, "What?", filter=wanted),
        api.client.get(f"/v1/documents?filter={json.dumps(wanted)}", headers=told),
        api.client.delete(f"/v1/documents?filter={json.dumps(wanted)}", headers=told),
    ):
        assert answer.status_code in (400, 422), answer.text
        assert said in answer.text


def test_all_documents_are_not_forgotten_by_mistake(api: ApiWorld, told: dict[str, str]) -> None:
    for url in ("/v1/documents", "/v1/documents?filter={}"):
        assert api.client.delete(url, headers=told).status_code == 422
    assert len(api.client.get("/v1/documents", headers=told).json()["documents"]) == 3


def test_one_receipt_for_a_filter(api: ApiWorld, told: dict[str, str]) -> None:
    receipt = api.client.delete('/v1/documents?filter={"tags":["bird"]}', headers=told)
    assert receipt.status_code == 202
    named = receipt.json()
    assert (named["documents"], named["document_id"], named["reason"]) == (2, None, "asked")

    def job() -> dict[str, Any]:
        return dict(api.client.get(named["job_url"], headers=told).json())

    assert until(lambda: job()["state"] == "done")
    done = job()
    assert (done["documents"], done["memorized"]) == (2, 2)
    assert done["receipt"]["purged"]
    left = api.client.get("/v1/documents", headers=told).json()["documents"]
    assert [one["id"] for one in left] == ["fox"]


def test_what_is_said_of_a_document_is_shown(api: ApiWorld, told: dict[str, str]) -> None:
    shown = api.client.get("/v1/documents/fox?passages=false", headers=told).json()
    assert shown["occurred_at"] == "1999-05-01T00:00:00+00:00"
    assert (shown["session"], shown["tags"], shown["expires_at"]) == (None, [], None)
    again = api.memorize(told, BIRDS[2]["text"], id="fox", tags=["red"], expires_at="2999-01-01")
    (one,) = again["documents"]
    assert (one["known"], one["updated"]) == (True, True)
    shown = api.client.get("/v1/documents/fox?passages=false", headers=told).json()
    assert (shown["tags"], shown["expires_at"]) == (["red"], "2999-01-01T00:00:00+00:00")
    assert shown["metadata"]["year"] == 2021


@pytest.mark.parametrize(
    "fields",
    [
        {"ttl": 0},
        {"ttl": -1},
        {"ttl": 1, "expires_at": "2999-01-01"},
        {"expires_at": "2001-01-01"},
        {"expires_at": "9999-12-31T23:59:59-01:00"},
        {"occurred_at": "0001-01-01T00:00:00+01:00"},
        {"occurred_at": "soon"},
        {"tags": [""]},
        {"tags": ["x" * 300]},
        {"session": " "},
    ],
)
def test_what_cannot_be_said_of_a_document_is_refused(
    api: ApiWorld, fields: dict[str, Any]
) -> None:
    headers = api.fresh()
    sent = {"text": "The owl is brown.", **fields}
    answer = api.client.post("/v1/documents", json=sent, headers=headers)
    assert answer.status_code == 422, answer.text
    line = api.client.post(
        "/v1/documents",
        content=json.dumps(sent),
        headers={**headers, "content-type": "application/x-ndjson"},
    )
    assert line.status_code == 422, line.text
    assert not api.client.get("/v1/documents", headers=headers).json()["documents"]


def test_a_line_says_as_much_as_a_document(api: ApiWorld) -> None:
    headers = api.fresh()
    lines = "\n".join(json.dumps(each) for each in BIRDS)
    kind = {"content-type": "application/x-ndjson"}
    url = "/v1/documents?wait=true"
    api.client.post(url, content=lines, headers={**headers, **kind})
    page = api.client.get("/v1/documents", headers=headers).json()["documents"]
    assert [(one["tags"], one["session"]) for one in page] == [
        (["bird"], "s1"),
        (["bird"], None),
        ([], None),
    ]
    assert page[2]["occurred_at"] == "1999-05-01T00:00:00+00:00"
    assert "tags" not in page[0]["metadata"]


def test_a_stored_turn_is_found_by_what_its_conversation_draws_on(api: ApiWorld) -> None:
    headers = api.fresh()
    chat: dict[str, Any] = {
        "model": api.deps.model_name,
        "messages": [{"role": "user", "content": "Remember that the door code is 4711."}],
        "metadata": {"session": "s9", "author": "Ilse"},
        "filter": {"tags": ["home"]},
        "store": True,
    }
    reply = api.client.post("/v1/chat/completions", json=chat, headers=headers).json()
    stored = reply["mplus"]["stored"]
    for wanted in ({"session": "s9"}, {"tags": "home"}, {"metadata": {"author": "Ilse"}}):
        url = f"/v1/documents?filter={json.dumps(wanted)}"
        page = api.client.get(url, headers=headers).json()
        assert [one["id"] for one in page["documents"]] == [stored]


def test_a_filter_that_leaves_nothing_forgets_nothing(api: ApiWorld, told: dict[str, str]) -> None:
    gone = api.client.delete('/v1/documents?filter={"tags":["nobody"]}', headers=told).json()
    assert (gone["documents"], gone["job_id"], gone["job_url"]) == (0, None, None)


def test_what_has_expired_is_gone_from_every_answer_at_once(api: ApiWorld) -> None:
    headers = api.fresh()
    api.memorize(headers, "The raven is black.", id="raven")
    api.memorize(headers, "The secret is 4711.", id="secret", ttl=1.5)
    seen = until(lambda: "secret" not in _found(api, headers))
    assert seen
    time.sleep(0.1)

    def receipts() -> list[dict[str, Any]]:
        jobs = api.client.get("/v1/jobs", headers=headers).json()["jobs"]
        return [job["receipt"] for job in jobs if job["receipt"]]

    assert until(lambda: bool(receipts() and receipts()[0]["purged"]))
    (receipt,) = receipts()
    assert (receipt["document_id"], receipt["reason"]) == ("secret", "expired")
    assert _found(api, headers) == {"raven"}


def _found(api: ApiWorld, headers: dict[str, str]) -> set[str]:
    sent = {"query": "What is it?", "limit": 20}
    found = api.client.post("/v1/search", json=sent, headers=headers).json()
    return {hit["document_id"] for hit in found["results"]}


def test_what_is_said_of_a_document_is_changed_and_cleared(api: ApiWorld) -> None:
    headers = api.fresh()
    said = {"session": "s", "tags": ["news"], "metadata": {"author": "Ilse", "draft": True}}
    times = {"occurred_at": "2026-01-01", "expires_at": "2999-01-01"}
    api.memorize(headers, "The raven is black.", id="birds/raven", **said, **times)
    path = "/v1/documents/birds/raven"

    def found(**wanted: Any) -> bool:
        sent = {"query": "raven", "filter": wanted}
        answer = api.client.post("/v1/search", json=sent, headers=headers)
        return bool(answer.json()["results"])

    def change(**changes: Any) -> dict[str, Any]:
        answer = api.client.patch(path, json=changes, headers=headers)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    assert found(tags=["news"], session="s", metadata={"draft": True})
    before = change()
    assert (before["tags"], before["session"]) == (["news"], "s")
    changed = change(tags=None, metadata={"draft": None, "year": 2026})
    assert changed["metadata"] == {"format": "json", "author": "Ilse", "year": 2026}
    assert (changed["tags"], changed["session"]) == ([], "s")
    assert not found(tags=["news"])
    assert not found(metadata={"draft": True})
    assert found(metadata={"year": {"gte": 2026}}, session="s")
    changed = change(session=None, occurred_at=None, expires_at=None, metadata=None)
    assert (changed["session"], changed["occurred_at"], changed["expires_at"]) == (None,) * 3
    assert changed["metadata"] == {"format": "json"}
    assert not found(session="s")
    assert found(before="2999-01-01")
    assert change(ttl=1000, tags=["a", "a"])["expires_at"] is not None
    assert found(tags=["a"])
    refused: list[dict[str, Any]] = [
        {"ttl": 5, "expires_at": "2999-01-01"},
        {"tags": ["\n"]},
        {"title": "x"},
        {"metadata": {"sections": []}},
    ]
    for wrong in refused:
        assert api.client.patch(path, json=wrong, headers=headers).status_code == 422
    gone = api.client.patch("/v1/documents/none", json={}, headers=headers)
    assert gone.status_code == 404
    reader = api.headers(api.log(headers), "query")
    assert api.client.patch(path, json={}, headers=reader).status_code == 403
