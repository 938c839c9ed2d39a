"""Documents over HTTP: handed in as JSON and as lines, listed, shown, forgotten."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from mplus_ray.services.api.ingest.response import document_url
from tests.api_world import ApiWorld, serving, until
from tests.worlds import load_model

NDJSON = {"content-type": "application/x-ndjson"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("documents")


@pytest.fixture(scope="module")
def alive(folder: Path) -> Iterator[ApiWorld]:
    """Documents are memorized."""
    with serving(load_model(folder / "checkpoint"), folder) as world:
        yield world


@pytest.fixture(scope="module")
def api(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiWorld]:
    """Documents wait for ever."""
    place = tmp_path_factory.mktemp("waiting")
    with serving(load_model(folder / "checkpoint"), place, writer=False) as world:
        yield world


def post(api: ApiWorld, headers: dict[str, str], body: Any, query: str = "") -> Any:
    return api.client.post(f"/v1/documents{query}", json=body, headers=headers)


def test_a_document_is_accepted_memorized_and_shown(alive: ApiWorld) -> None:
    headers = alive.fresh()
    text = "Maren Tolva lives in Dorvas, in a house by the sea."
    answer = post(alive, headers, {"text": text, "id": "people/maren", "metadata": {"by": "Ilse"}})
    assert answer.status_code == 202
    taken = answer.json()
    assert taken["id"] == "people/maren"
    assert answer.headers["location"] == taken["status_url"] == "/v1/documents/people/maren"
    (document,) = taken["documents"]
    assert (document["known"], document["first_step"], document["like"]) == (False, 1, None)
    assert taken["min_step"] == document["end_step"] > 1
    assert taken["failed"] == []

    job = until(lambda: _done(alive, headers, taken["job_url"]))
    assert (job["kind"], job["documents"], job["memorized"]) == ("ingest", 1, 1)
    shown = alive.client.get(taken["status_url"], headers=headers).json()
    assert shown["state"] == "memorized"
    assert shown["metadata"] == {"by": "Ilse", "format": "json"}
    assert shown["title"] == text
    for passage in shown["passages"]:
        assert passage["text"] == text[passage["start"] : passage["end"]]
    assert "".join(p["text"] for p in shown["passages"]).replace(" ", "") == text.replace(" ", "")
    bare = alive.client.get(f"{taken['status_url']}?passages=false", headers=headers).json()
    assert bare["passages"] is None


def test_wait_answers_when_it_can_be_asked_about(alive: ApiWorld) -> None:
    answer = post(alive, alive.fresh(), {"text": "The owl is brown."}, "?wait=true")
    assert answer.status_code == 200
    assert answer.json()["documents"][0]["state"] == "memorized"


def test_waiting_ends_when_its_time_is_up(api: ApiWorld) -> None:
    answer = post(api, api.fresh(), {"text": "The owl is brown."}, "?wait=0.1")
    assert answer.status_code == 202
    assert answer.json()["documents"][0]["state"] == "waiting"


@pytest.mark.parametrize("wait", ["soon", "-1", "1e9", "nan"])
def test_a_wait_that_is_no_time_is_refused(api: ApiWorld, wait: str) -> None:
    assert post(api, api.fresh(), {"text": "x"}, f"?wait={wait}").status_code == 422


def test_several_documents_stay_in_order(api: ApiWorld) -> None:
    headers = api.fresh()
    texts = [f"Document number {number} says so." for number in range(5)]
    answer = post(api, headers, {"documents": [{"text": text} for text in texts]})
    assert answer.status_code == 202
    documents = answer.json()["documents"]
    steps = [document["first_step"] for document in documents]
    assert steps == sorted(steps)
    listed = api.client.get("/v1/documents", headers=headers).json()["documents"]
    assert [each["id"] for each in listed] == [each["id"] for each in documents]


def test_the_same_text_is_the_same_document(api: ApiWorld) -> None:
    headers = api.fresh()
    first, second = (post(api, headers, {"text": "The raven is black."}).json() for _ in range(2))
    assert first["id"] == second["id"]
    assert not first["documents"][0]["known"]
    assert second["documents"][0]["known"]


def test_a_document_like_another_says_so(api: ApiWorld) -> None:
    headers = api.fresh()
    post(api, headers, {"text": "The raven is black.", "id": "a"})
    other = post(api, headers, {"text": "The raven is black.", "id": "b"}).json()
    assert other["documents"][0]["like"] == "a"


def test_other_text_under_an_id_takes_its_place(alive: ApiWorld) -> None:
    headers = alive.fresh()
    alive.memorize(headers, "The raven is black.", id="bird")
    taken = alive.memorize(headers, "The raven is white now.", id="bird")
    shown = alive.client.get(taken["status_url"], headers=headers).json()
    assert " ".join(p["text"] for p in shown["passages"]) == "The raven is white now."
    # Steps are numbered anew when the old one is gone; `min_step` is good all the same.
    until(
        lambda: alive.client.get("/v1/memory", headers=headers).json()["step"] < taken["min_step"]
    )
    assert alive.ask(headers, "raven?", min_step=taken["min_step"]).status_code == 200


@pytest.mark.parametrize("key", ["a b/c?d#e", "ünïcödé/文", "etc/passwd/.x", "a//b"])
def test_an_id_may_be_any_text(api: ApiWorld, key: str) -> None:
    headers = api.fresh()
    taken = post(api, headers, {"text": "Ilse sings.", "id": key}).json()
    assert taken["id"] == key
    assert taken["status_url"] == document_url(key)
    url = f"/v1/documents/{quote(key, safe='')}"
    assert api.client.get(url, headers=headers).json()["id"] == key
    assert api.client.delete(url, headers=headers).json()["document_id"] == key


@pytest.mark.parametrize("key", ["", "\n", "a\0b", "x" * 1001, "\u202e\n"])
def test_an_impossible_id_is_refused(api: ApiWorld, key: str) -> None:
    answer = post(api, api.fresh(), {"text": "Ilse sings.", "id": key})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"text": ""},
        {"text": 3},
        {"text": "a", "extra": 1},
        {"documents": []},
        {"documents": [{"title": "no text"}]},
        [],
        "text",
        {"text": "a", "metadata": []},
    ],
)
def test_what_is_no_document_is_refused(api: ApiWorld, body: Any) -> None:
    answer = post(api, api.fresh(), body)
    assert answer.status_code == 422
    assert answer.json()["errors"]


@pytest.mark.parametrize(
    "body",
    [b"{", b'{"text": "\xff"}', b"[" * 100_000, b'{"text": NaN}', b"1" * 10_000, b"", b"null"],
)
def test_what_is_no_json_is_refused(api: ApiWorld, body: bytes) -> None:
    headers = {**api.fresh(), "content-type": "application/json"}
    answer = api.client.post("/v1/documents", content=body, headers=headers)
    assert answer.status_code == 422
    assert answer.json()["type"] == "urn:mplus:problem:invalid-request"


def test_text_that_no_encoding_carries_is_refused(api: ApiWorld) -> None:
    headers = {**api.fresh(), "content-type": "application/json"}
    body = rb'{"text": "lone \ud800 surrogate"}'
    assert api.client.post("/v1/documents", content=body, headers=headers).status_code == 422


def test_a_document_that_fails_leaves_the_others_alone(api: ApiWorld) -> None:
    answer = post(api, api.fresh(), {"documents": [{"text": "  ", "id": "a"}, {"text": "Good."}]})
    assert answer.status_code == 202
    assert [one["source"] for one in answer.json()["failed"]] == ["a"]
    assert len(answer.json()["documents"]) == 1


def test_if_all_fail_nothing_was_taken_in(api: ApiWorld) -> None:
    answer = post(api, api.fresh(), {"documents": [{"text": "  ", "id": "a"}]})
    assert answer.status_code == 422
    problem = answer.json()
    assert problem["type"] == "urn:mplus:problem:nothing-taken-in"
    assert problem["failed"][0]["source"] == "a"
    assert "no text" in problem["failed"][0]["reason"]


def test_another_content_type_is_refused(api: ApiWorld) -> None:
    answer = api.client.post("/v1/documents", content=b"text", headers=api.fresh())
    assert answer.status_code == 415
    assert "application/x-ndjson" in answer.json()["detail"]


def test_lines_are_taken_in_and_bad_ones_listed(api: ApiWorld) -> None:
    headers = api.fresh()
    lines = [
        json.dumps({"id": "a", "text": "The owl is brown."}),
        "not json",
        "",
        json.dumps({"id": "b"}),
        json.dumps({"text": "Ilse sings.", "title": "Song", "author": "Ilse"}),
    ]
    body = "\n".join(lines).encode() + b"\n" + b'{"text": "\xff"}'
    answer = api.client.post("/v1/documents", content=body, headers={**headers, **NDJSON})
    assert answer.status_code == 202
    taken = answer.json()
    assert [one["source"] for one in taken["failed"]] == ["line 2", "line 4", "line 6"]
    assert taken["documents"][0]["id"] == "a"
    song = api.client.get(taken["documents"][1]["url"], headers=headers).json()
    assert (song["title"], song["metadata"]["author"]) == ("Song", "Ilse")


def test_lines_come_in_pieces_of_any_size(api: ApiWorld) -> None:
    headers = api.fresh()
    body = b"".join(b'{"id": "%d", "text": "Number %d."}\n' % (n, n) for n in range(150))

    def pieces() -> Iterator[bytes]:
        for start in range(0, len(body), 7):
            yield body[start : start + 7]

    answer = api.client.post("/v1/documents", content=pieces(), headers={**headers, **NDJSON})
    assert answer.status_code == 202
    assert [one["id"] for one in answer.json()["documents"]] == [str(n) for n in range(150)]


def test_a_line_without_an_end_is_not_held_in_memory(
    api: ApiWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mplus_ray.services.api.ingest.uploads.MAX_RECORD", 1000)
    long = b'{"text": "' + b"x" * 5000 + b'"}\n'
    body = long + b'{"text": "Good."}\n' + long.rstrip()
    headers = {**api.fresh(), **NDJSON}
    taken = api.client.post("/v1/documents", content=body, headers=headers).json()
    assert [one["source"] for one in taken["failed"]] == ["line 1", "line 3"]
    assert len(taken["documents"]) == 1


def test_a_request_that_is_all_wrong_is_not_read_to_its_end(api: ApiWorld) -> None:
    headers = {**api.fresh(), **NDJSON}
    answer = api.client.post("/v1/documents", content=b"x\n" * 5000, headers=headers)
    assert answer.status_code == 422
    assert len(answer.json()["failed"]) == 1001
    assert "was not read" in answer.json()["failed"][-1]["reason"]


def test_pages_and_filters(alive: ApiWorld) -> None:
    headers = alive.fresh()
    birds = [{"text": f"Bird {n} sings.", "id": f"bird/{n}"} for n in range(5)]
    post(alive, headers, {"documents": [*birds, {"text": "A stone.", "id": "stone"}]}, "?wait=true")
    seen: list[str] = []
    cursor = ""
    while True:
        url = f"/v1/documents?limit=2&q=BIRD{cursor}"
        page = alive.client.get(url, headers=headers).json()
        assert len(page["documents"]) <= 2
        seen += [each["id"] for each in page["documents"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == [bird["id"] for bird in birds]
    by_state = "/v1/documents?state={}"
    memorized = alive.client.get(by_state.format("memorized"), headers=headers).json()
    assert len(memorized["documents"]) == 6
    assert not alive.client.get(by_state.format("waiting"), headers=headers).json()["documents"]


@pytest.mark.parametrize("query", ["cursor=x", "limit=0", "limit=201", "state=gone", "limit=a"])
def test_an_impossible_page_is_refused(api: ApiWorld, query: str) -> None:
    assert api.client.get(f"/v1/documents?{query}", headers=api.fresh()).status_code == 422


def test_forgetting_gives_a_receipt_and_is_carried_out(alive: ApiWorld) -> None:
    headers = alive.fresh()
    taken = alive.memorize(headers, "The raven is black.", id="bird")
    alive.memorize(headers, "The owl is brown.", id="owl")
    answer = alive.client.delete(taken["status_url"], headers=headers)
    assert answer.status_code == 202
    receipt = answer.json()
    assert receipt["document_id"] == "bird"
    assert receipt["masked"] is not None
    job = until(lambda: _done(alive, headers, receipt["job_url"]))
    assert job["kind"] == "forget"
    assert job["receipt"]["purged"] is not None
    assert alive.client.get(taken["status_url"], headers=headers).status_code == 404
    again = alive.client.delete(taken["status_url"], headers=headers).json()
    assert again["id"] == receipt["id"]
    cited = alive.ask(headers, "raven?", citations=20).json()["citations"]
    assert {each["document_id"] for each in cited} == {"owl"}


def test_a_quota_ends_what_is_taken_in(api: ApiWorld) -> None:
    headers = api.fresh(max_documents=2)
    sent = {"documents": [{"text": f"Number {n}."} for n in range(4)]}
    taken = post(api, headers, sent).json()
    assert len(taken["documents"]) == 2
    assert "max-documents" in taken["failed"][0]["reason"]
    assert post(api, headers, {"text": "One more."}).status_code == 413


def test_a_full_session_leaves_others_alone(api: ApiWorld) -> None:
    headers = api.fresh(attribute_quotas={"session": {"max_documents": 1}})
    named = [("a1", "anna"), ("a2", "anna"), ("b1", "bela")]
    sent = [{"id": key, "text": f"Text {key}.", "session": session} for key, session in named]
    taken = post(api, headers, {"documents": sent}).json()
    assert [one["id"] for one in taken["documents"]] == ["a1", "b1"]
    (failed,) = taken["failed"]
    assert "session 'anna' may have 1 documents" in failed["reason"]
    refused = post(api, headers, sent[1])
    assert (refused.status_code, refused.json()["status"]) == (413, 413)
    assert "session 'anna'" in refused.json()["detail"]
    post(api, headers, {"id": "c", "text": "Of nobody."})
    moved = api.client.patch("/v1/documents/c", json={"session": "anna"}, headers=headers)
    assert moved.status_code == 413
    url, wanted = "/v1/memory/usage", {"filter": json.dumps({"session": "anna"})}
    used = api.client.get(url, params=wanted, headers=headers).json()
    assert (used["documents"], used["steps"]) == (1, 1)
    assert api.client.get(url, headers=headers).json()["documents"] == 3
    assert api.client.get(url, params={"filter": "{"}, headers=headers).status_code == 422
    api.client.delete("/v1/documents/a1", headers=headers)
    assert api.client.get(url, params=wanted, headers=headers).json()["documents"] == 0
    assert post(api, headers, sent[1]).status_code == 202


def test_jobs_page_by_page(api: ApiWorld) -> None:
    headers = api.fresh()
    made = [post(api, headers, {"text": f"Number {n}."}).json()["job_id"] for n in range(3)]
    first = api.client.get("/v1/jobs?limit=2", headers=headers).json()
    rest = api.client.get(f"/v1/jobs?limit=2&cursor={first['next_cursor']}", headers=headers).json()
    assert [job["id"] for job in first["jobs"] + rest["jobs"]] == made[::-1]
    assert rest["next_cursor"] is None
    assert api.client.get("/v1/jobs?cursor=abc", headers=headers).status_code == 422


def _done(api: ApiWorld, headers: dict[str, str], url: str) -> Any:
    job = api.client.get(url, headers=headers).json()
    return job if job["state"] == "done" else None
