"""What a document may be called and carry, at every door, and how large an answer becomes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mplus_ray.model.errors import InvalidInputError
from mplus_ray.pipeline.ledger.documents.pages import PAGE_BYTES
from mplus_ray.pipeline.parsing import limits as document_limits
from mplus_ray.pipeline.parsing.limits import check_key, check_metadata
from mplus_ray.pipeline.sources.files import find_files
from mplus_ray.services.api.ingest.response import document_url
from mplus_ray.services.api.routes import documents as routes
from tests.api_world import ApiWorld, serving
from tests.worlds import load_model

BAD_IDS = [
    ".",
    "..",
    "../keys/0a1b2c3d",
    "a/../b",
    "a/./b",
    "a/..",
    "..\\keys",
    "a\nb",
    "a\x1b[2Jb",
    "a\x00b",
    "\ud800",
    "x\udfffy",
    " ",
    "ä" * 501,
]


def deep(levels: int) -> Any:
    value: Any = "x"
    for _ in range(levels):
        value = {"a": value}
    return value


BAD_METADATA = [
    pytest.param({"a": "x" * 70_000}, id="large"),
    pytest.param(deep(9), id="deep"),
    pytest.param({str(n): 1 for n in range(1001)}, id="keys"),
    pytest.param({"a": [0] * 1001}, id="entries"),
]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiWorld]:
    folder = tmp_path_factory.mktemp("limits")
    with serving(load_model(folder / "checkpoint"), folder, writer=False) as world:
        yield world


def as_json(value: Any) -> bytes:
    return json.dumps(value).encode()  # half a character stays the escape that it is


class TestIds:
    @pytest.mark.parametrize("key", BAD_IDS)
    def test_refused(self, key: str) -> None:
        with pytest.raises(InvalidInputError):
            check_key(key)

    @pytest.mark.parametrize("key", ["a", "people/maren", "...", "a..b", ".hidden", "/a", "a//b"])
    def test_taken(self, key: str) -> None:
        check_key(key)

    @pytest.mark.parametrize("key", BAD_IDS)
    @pytest.mark.parametrize("kind", ["application/json", "application/x-ndjson"])
    def test_refused_over_http(self, api: ApiWorld, key: str, kind: str) -> None:
        body = as_json({"id": key, "text": "The raven is black."})
        headers = {**api.fresh(), "content-type": kind}
        answer = api.client.post("/v1/documents", content=body, headers=headers)
        assert answer.status_code == 422, answer.text

    @pytest.mark.parametrize("key", BAD_IDS)
    def test_the_other_lines_are_taken(self, api: ApiWorld, key: str) -> None:
        lines = [{"id": key, "text": "The raven."}, {"id": "owl", "text": "The owl is brown."}]
        headers = {**api.fresh(), "content-type": "application/x-ndjson"}
        body = b"\n".join(as_json(line) for line in lines)
        answer = api.client.post("/v1/documents", content=body, headers=headers)
        assert answer.status_code == 202, answer.text
        assert answer.json()["id"] == "owl"
        assert len(answer.json()["failed"]) == 1

    @pytest.mark.parametrize("name", [".", "..", "a/../b", "\ud800", "a\nb"])
    def test_tenants_and_snapshots(self, api: ApiWorld, name: str) -> None:
        operator = {"authorization": f"Bearer {api.operator}", "content-type": "application/json"}
        body = as_json({"name": name})
        answer = api.client.post("/v1/tenants", content=body, headers=operator)
        assert answer.status_code == 422, answer.text
        headers = {**api.fresh(), "content-type": "application/json"}
        answer = api.client.post("/v1/memory/snapshot", content=body, headers=headers)
        assert answer.status_code == 422, answer.text

    @pytest.mark.parametrize(
        ("key", "url"),
        [
            ("people/maren", "/v1/documents/people/maren"),
            ("../keys/0a1b2c3d", "/v1/documents/..%2Fkeys%2F0a1b2c3d"),
            ("a/../b", "/v1/documents/a%2F..%2Fb"),
            ("/a", "/v1/documents/%2Fa"),
            ("a?b#c%2e", "/v1/documents/a%3Fb%23c%252e"),
            ("a\\..\\b", "/v1/documents/a%5C..%5Cb"),
        ],
    )
    def test_their_urls_lead_nowhere_else(self, key: str, url: str) -> None:
        assert document_url(key) == url

    def test_an_older_id_is_deleted_by_its_url(
        self, api: ApiWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """One that a ledger got before such ids were refused."""
        headers = api.fresh()
        key_id = headers["authorization"].split("_")[1]
        monkeypatch.setattr(document_limits, "has_dots", lambda name: False)
        sent = {"id": f"../keys/{key_id}", "text": "The raven is black."}
        url = api.client.post("/v1/documents", json=sent, headers=headers).json()["status_url"]
        assert api.client.delete(url, headers=headers).status_code == 202
        assert api.client.get("/v1/documents", headers=headers).status_code == 200


class TestMetadata:
    @pytest.mark.parametrize("metadata", BAD_METADATA)
    def test_refused(self, api: ApiWorld, metadata: dict[str, Any]) -> None:
        with pytest.raises(InvalidInputError, match="its metadata"):
            check_metadata(metadata)
        for kind, body in (
            ("application/json", {"text": "The raven.", "metadata": metadata}),
            ("application/x-ndjson", {"text": "The raven.", **metadata}),
        ):
            headers = {**api.fresh(), "content-type": kind}
            answer = api.client.post("/v1/documents", content=as_json(body), headers=headers)
            assert answer.status_code == 422, answer.text
            assert "its metadata" in answer.json()["detail"]

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800"])
    def test_no_json(self, value: Any) -> None:
        with pytest.raises(InvalidInputError, match="no JSON"):
            check_metadata({"a": value})

    def test_what_is_allowed(self) -> None:
        assert check_metadata(deep(8)) > 40
        assert check_metadata({str(n): n for n in range(1000)}) > 5000
        assert check_metadata({"a": "x" * 65_000}) > 65_000


class TestAnswers:
    def test_a_page_is_bounded_in_bytes(self, api: ApiWorld) -> None:
        headers = api.fresh()
        sent = [
            {"id": f"{n}", "text": f"Raven {n}.", "metadata": {"a": "x" * 60_000}}
            for n in range(40)
        ]
        answer = api.client.post("/v1/documents", json={"documents": sent}, headers=headers)
        assert answer.status_code == 202
        found, pages = [], 0
        cursor: str | None = ""
        while cursor is not None:
            query = f"?limit=200&cursor={cursor}" if cursor else "?limit=200"
            page = api.client.get(f"/v1/documents{query}", headers=headers)
            assert len(page.content) < PAGE_BYTES + 10_000
            found += [document["id"] for document in page.json()["documents"]]
            cursor, pages = page.json()["next_cursor"], pages + 1
        assert found == [one["id"] for one in sent]
        assert pages == 3

    def test_jobs_too(self, api: ApiWorld) -> None:
        headers = {**api.fresh(), "content-type": "application/x-ndjson"}
        bad = as_json({"id": "x" * 5000, "text": "The raven."})
        for n in range(4):
            body = b"\n".join([*[bad] * 900, as_json({"id": f"{n}", "text": f"Owl {n}."})])
            answer = api.client.post("/v1/documents", content=body, headers=headers)
            assert answer.status_code == 202
            assert len(answer.content) < 2 * PAGE_BYTES
        page = api.client.get("/v1/jobs", headers=headers)
        assert len(page.content) < 2 * PAGE_BYTES

    def test_a_long_document_comes_piece_by_piece(
        self, api: ApiWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(routes, "_PASSAGES", 3)
        headers, text = api.fresh(), "The raven is black and bold. " * 40
        api.client.post("/v1/documents", json={"id": "r", "text": text}, headers=headers)
        shown = api.client.get("/v1/documents/r", headers=headers)
        assert shown.headers["content-type"] == "application/json"
        passages = shown.json()["passages"]
        assert len(passages) > 6
        assert "".join("".join(p["text"] for p in passages).split()) == "".join(text.split())
        without = api.client.get("/v1/documents/r?passages=false", headers=headers).json()
        assert without == {**shown.json(), "passages": None}


def test_links_do_not_lead_out_of_a_folder(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    inside, secret = tmp_path / "in", tmp_path / "secret.txt"
    inside.mkdir()
    secret.write_text("The key is under the mat.")
    (inside / "a.txt").write_text("The raven is black.")
    (inside / "b.txt").symlink_to("a.txt")
    (inside / "c.txt").symlink_to(secret)
    (inside / "d").symlink_to(tmp_path)
    assert find_files([inside]) == [inside / "a.txt"]
    assert "c.txt is a link that leads out" in caplog.text
    assert find_files([inside / "c.txt"]) == [secret]
