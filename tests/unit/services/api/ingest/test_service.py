"""Requests that are sent twice, and requests that are too large."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from mplus_ray.services.api.deps import Limits
from tests.api_world import ApiWorld, serving
from tests.worlds import load_model

NDJSON = {"content-type": "application/x-ndjson"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("intake")


@pytest.fixture(scope="module")
def api(folder: Path) -> Iterator[ApiWorld]:
    with serving(load_model(folder / "checkpoint"), folder, writer=False) as world:
        yield world


@pytest.fixture(scope="module")
def small(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiWorld]:
    """Little is allowed."""
    limits = Limits(
        body_bytes=1000,
        json_bytes=2000,
        upload_bytes=4000,
        text_characters=500,
        documents=3,
        lines=5,
    )
    place = tmp_path_factory.mktemp("small")
    with serving(load_model(folder / "checkpoint"), place, limits=limits, writer=False) as world:
        yield world


def post(api: ApiWorld, headers: dict[str, str], body: Any) -> Any:
    return api.client.post("/v1/documents", json=body, headers=headers)


class TestIdempotency:
    def test_a_request_is_done_once(self, api: ApiWorld) -> None:
        headers = {**api.fresh(), "idempotency-key": "k1"}
        sent = {"documents": [{"text": "Once."}, {"text": " "}]}
        first, second = (post(api, headers, sent) for _ in range(2))
        assert first.json() == second.json()
        assert first.json()["failed"]
        assert "idempotency-replayed" not in first.headers
        assert second.headers["idempotency-replayed"] == "true"
        jobs = api.client.get("/v1/jobs", headers=headers).json()["jobs"]
        assert len(jobs) == 1

    def test_the_key_of_another_request_is_refused(self, api: ApiWorld) -> None:
        headers = {**api.fresh(), "idempotency-key": "k1"}
        post(api, headers, {"text": "One."})
        assert post(api, headers, {"text": "Two."}).status_code == 409

    def test_a_request_that_failed_may_be_sent_again(self, api: ApiWorld) -> None:
        headers = {**api.fresh(max_documents=0), "idempotency-key": "k1"}
        assert post(api, headers, {"text": "One."}).status_code == 413
        api.log(headers).set_limits(max_documents=None)
        assert post(api, headers, {"text": "One."}).status_code == 202

    def test_lines_and_files_have_a_digest_too(self, api: ApiWorld) -> None:
        headers = {**api.fresh(), "idempotency-key": "k1"}
        lines = {**headers, **NDJSON}
        body = b'{"text": "Line."}\n'
        first = api.client.post("/v1/documents", content=body, headers=lines)
        second = api.client.post("/v1/documents", content=body, headers=lines)
        assert first.json() == second.json()
        assert api.client.post("/v1/documents", content=body * 2, headers=lines).status_code == 409
        headers["idempotency-key"] = "k2"
        for content, status in ((b"a file", 202), (b"a file", 202), (b"b file", 409)):
            upload = [("files", ("a.txt", content))]
            answer = api.client.post("/v1/documents", files=upload, headers=headers)
            assert answer.status_code == status

    def test_keys_of_two_tenants_are_two_keys(self, api: ApiWorld) -> None:
        for text in ("One.", "Two."):
            headers = {**api.fresh(), "idempotency-key": "same"}
            assert post(api, headers, {"text": text}).status_code == 202

    def test_at_the_same_time_one_of_them_does_it(self, api: ApiWorld) -> None:
        headers = {**api.fresh(), "idempotency-key": "k1"}
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda _: post(api, headers, {"text": "Once."}), range(4)))
        assert {answer.status_code for answer in answers} <= {202, 409}
        assert len(api.client.get("/v1/jobs", headers=headers).json()["jobs"]) == 1


class TestSizes:
    def test_a_body_that_says_it_is_too_large_is_not_read(self, small: ApiWorld) -> None:
        answer = post(small, small.fresh(), {"text": "x" * 3000})
        assert answer.status_code == 413
        assert answer.headers["content-type"] == "application/problem+json"

    @pytest.mark.parametrize("kind", ["application/json", "application/x-ndjson"])
    def test_a_body_that_does_not_say_is_cut_off(self, small: ApiWorld, kind: str) -> None:
        taken = 0

        def endless() -> Iterator[bytes]:
            nonlocal taken
            while taken < 1_000_000:
                taken += 100
                yield b" " * 100

        headers = {**small.fresh(), "content-type": kind}
        answer = small.client.post("/v1/documents", content=endless(), headers=headers)
        assert answer.status_code == 413

    def test_other_routes_take_less(self, small: ApiWorld) -> None:
        answer = small.ask(small.fresh(), "x" * 1500)
        assert answer.status_code == 413

    def test_a_long_text_is_a_failure(self, small: ApiWorld) -> None:
        answer = post(small, small.fresh(), {"text": "word " * 150})
        assert answer.status_code == 422
        assert "500 are allowed" in answer.json()["failed"][0]["reason"]

    def test_so_many_documents_at_once(self, small: ApiWorld) -> None:
        answer = post(small, small.fresh(), {"documents": [{"text": "a"}] * 4})
        assert answer.status_code == 422
        uploads = [("files", (f"{n}.txt", b"a")) for n in range(4)]
        answer = small.client.post("/v1/documents", files=uploads, headers=small.fresh())
        assert answer.status_code == 400

    def test_an_upload_that_is_too_large(self, small: ApiWorld) -> None:
        upload = [("files", ("a.txt", b"x" * 5000))]
        answer = small.client.post("/v1/documents", files=upload, headers=small.fresh())
        assert answer.status_code == 413


def test_a_stream_takes_in_so_many_at_once(small: ApiWorld) -> None:
    body = b"".join(b'{"text": "Number %d."}\n' % number for number in range(8))
    headers = {**small.fresh(), **NDJSON}
    taken = small.client.post("/v1/documents", content=body, headers=headers).json()
    assert len(taken["documents"]) == 5
    assert "another request" in taken["failed"][0]["reason"]
