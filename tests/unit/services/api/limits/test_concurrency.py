"""No client and no kind of request takes the places of others; slow bodies are cut off."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from mplus_ray.model.errors import OverloadedError, RateLimitedError
from mplus_ray.services.api.deps import Limits
from mplus_ray.services.api.limits.concurrency import Places, kind_of
from mplus_ray.services.api.metrics import ApiMetrics
from tests.api_world import ApiWorld, serving, until
from tests.worlds import load_model

LIMITS = Limits(open_questions=8, open_documents=8, body_seconds=1.0, body_rate=50_000)


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiWorld]:
    folder = tmp_path_factory.mktemp("concurrency")
    limits = Limits(open_questions=8, open_documents=8)
    model = load_model(folder / "checkpoint")
    with serving(model, folder, limits=limits, writer=False, loopback=True) as world:
        yield world


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[ApiWorld]:
    model = load_model(tmp_path / "checkpoint")
    with serving(model, tmp_path, limits=LIMITS, writer=False, loopback=True) as world:
        yield world


@pytest.fixture
def places() -> Places:
    return Places(LIMITS, ApiMetrics(CollectorRegistry()))


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT"])
@pytest.mark.parametrize("with_key", [True, False])
def test_mcp_has_no_streams_that_carry_nothing(api: ApiWorld, method: str, with_key: bool) -> None:
    headers = api.fresh() if with_key else {}
    accept = {"accept": "text/event-stream"}
    answer = api.client.request(method, "/mcp", headers={**headers, **accept})
    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"


class TestPlaces:
    def test_a_tenant_has_a_quarter(self, places: Places) -> None:
        for _ in range(2):
            places.claim(places.take("questions"), "anna")
        third = places.take("questions")
        with pytest.raises(RateLimitedError):
            places.claim(third, "anna")
        places.claim(third, "bruno")

    def test_the_service_has_so_many(self, places: Places) -> None:
        taken = [places.take("questions") for _ in range(8)]
        with pytest.raises(OverloadedError):
            places.take("questions")
        places.free(taken[0])
        places.take("questions")

    def test_a_kind_takes_nothing_from_another(self, places: Places) -> None:
        for _ in range(8):
            places.take("questions")
        places.take("documents")
        places.take("lookups")

    def test_what_is_answered_is_free_again(self, places: Places) -> None:
        for _ in range(100):
            place = places.take("documents")
            places.claim(place, "anna")
            places.free(place)

    @pytest.mark.parametrize(
        ("method", "path", "kind"),
        [
            ("POST", "/v1/query", "questions"),
            ("POST", "/v1/chat/completions", "questions"),
            ("POST", "/v1/documents", "documents"),
            ("GET", "/v1/documents", "lookups"),
            ("POST", "/mcp", "tools"),
            ("POST", "/v1/memory/fork", "archives"),
            ("DELETE", "/v1/tenants/anna", "archives"),
            ("DELETE", "/v1/tenants/anna/keys/0badc0de", "lookups"),
            ("POST", "/v1/tenants/import", "archives"),
            ("GET", "/nothing", "lookups"),
        ],
    )
    def test_kinds(self, method: str, path: str, kind: str) -> None:
        assert kind_of(method, path) == kind


class TestOverHttp:
    def test_uploads_that_do_not_end_stop_nobody_else(self, api: ApiWorld) -> None:
        anna, bruno, clara = api.fresh(), api.fresh(), api.fresh()
        with ExitStack() as stack:
            for _ in range(2):
                stack.enter_context(upload(api, anna))
            until(lambda: self.under_way(api) == 2)
            assert self.status(api, anna) == 429
            assert self.status(api, bruno) == 202
            assert api.client.get("/v1/documents", headers=anna).status_code == 200
            for headers in (bruno, bruno, clara, clara, api.fresh(), api.fresh()):
                stack.enter_context(upload(api, headers))
            until(lambda: self.under_way(api) == 8)
            assert self.status(api, api.fresh()) == 503
            assert api.client.get("/v1/documents", headers=bruno).status_code == 200
            assert api.client.get("/healthz").status_code == 200
            assert api.client.get("/readyz").status_code == 200
        until(lambda: self.status(api, anna) == 202)

    def under_way(self, api: ApiWorld) -> int:
        places: Places = api.app.state.places
        return places.claimed("documents")

    def status(self, api: ApiWorld, headers: dict[str, str]) -> int:
        sent = {"text": "The raven is black."}
        answer = api.client.post("/v1/documents", json=sent, headers=headers)
        if answer.status_code in (429, 503):
            assert answer.headers["retry-after"] == "1"
            assert answer.headers["content-type"] == "application/problem+json"
        return answer.status_code


class TestSlowBodies:
    def test_a_client_that_falls_silent_is_told_and_cut_off(self, slow: ApiWorld) -> None:
        with upload(slow, slow.fresh()) as sending:
            assert b" 408 " in answered(sending)

    def test_a_client_that_sends_next_to_nothing_too(self, slow: ApiWorld) -> None:
        with upload(slow, slow.fresh()) as sending:
            sending.settimeout(0.2)
            said = b""
            for _ in range(100):
                sending.sendall(b"1\r\n \r\n")
                try:
                    said = sending.recv(1000)
                except TimeoutError:
                    continue
                break
            assert b" 408 " in said

    def test_who_waits_for_an_answer_has_all_the_time(self, slow: ApiWorld) -> None:
        """Longer than the limit, which is for a body: nothing more of it comes."""
        sent, began = {"text": "The raven is black."}, time.monotonic()
        answer = slow.client.post("/v1/documents?wait=2.5", json=sent, headers=slow.fresh())
        assert answer.status_code == 202, answer.text
        assert time.monotonic() - began > 2 * LIMITS.body_seconds


@contextmanager
def upload(api: ApiWorld, headers: dict[str, str]) -> Iterator[socket.socket]:
    """A body that has begun and does not go on."""
    host, _, port = api.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=20) as sending:
        head = (
            f"POST /v1/documents HTTP/1.1\r\nhost: {host}\r\n"
            f"authorization: {headers['authorization']}\r\n"
            "content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n1\r\n{\r\n"
        )
        sending.sendall(head.encode())
        yield sending


def answered(sending: socket.socket) -> bytes:
    """All that is said until the connection ends."""
    said = b""
    while piece := sending.recv(65536):
        said += piece
    return said
