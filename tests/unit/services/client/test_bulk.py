"""Documents in bulk against the application: all of it arrives, wherever the service stops."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from mplus_client import (
    AuthenticationError,
    Client,
    Patience,
    Sent,
    TooLargeError,
    UnreachableError,
)
from mplus_ray.services.api.deps import Limits
from tests.api_world import ApiWorld, serving
from tests.worlds import load_model

_MOST = 120  # documents that a request may bring


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiWorld]:
    folder = tmp_path_factory.mktemp("bulk")
    limits = Limits(lines=_MOST)
    model = load_model(folder / "checkpoint")
    with serving(model, folder, writer=False, loopback=True, limits=limits) as world:
        yield world


@pytest.fixture(scope="module")
def url(api: ApiWorld) -> str:
    return str(api.client.base_url)


def client_at(url: str, headers: dict[str, str], **options: Any) -> Client:
    return Client(url, headers["authorization"].removeprefix("Bearer "), timeout=60, **options)


Open = Callable[[dict[str, str]], Client]


@pytest.fixture
def client_of(url: str) -> Open:
    return lambda headers: client_at(url, headers)


def lines(count: int, start: int = 0) -> bytes:
    texts = (f"Keeper {number} waits." for number in range(start, start + count))
    return b"".join(json.dumps({"text": text}).encode() + b"\n" for text in texts)


class TestLines:
    def test_it_goes_on_where_the_service_stops(self, api: ApiWorld, client_of: Open) -> None:
        headers = api.fresh()
        with client_of(headers) as client:
            sent = client.send_lines(io.BytesIO(lines(500)))
        assert (sent.read, sent.taken_in, sent.refused, sent.requests) == (500, 500, 0, 5)
        assert len(api.log(headers).documents()) == 500

    def test_many_bad_lines_first_end_nothing(self, api: ApiWorld, client_of: Open) -> None:
        headers = api.fresh()
        with client_of(headers) as client:
            sent = client.send_lines(io.BytesIO(b"{}\n" * 1005 + lines(3) + b"no\n"))
        assert (sent.read, sent.taken_in, sent.refused) == (1009, 3, 1006)
        assert sent.refusals == {("line", "not as its format asks"): 1006}
        assert sent.failed[0][0] == "line 1"
        assert len(sent.failed) == 1000

    def test_a_failure_is_named_by_its_line_of_the_whole_stream(
        self, api: ApiWorld, client_of: Open
    ) -> None:
        with client_of(api.fresh()) as client:
            body = lines(8) + b"no\n" + lines(2, 8)
            sent = client.send_lines(io.BytesIO(body), lines=5)
        assert [source for source, _ in sent.failed] == ["line 9"]
        assert sent.failed[0][1].startswith("line 9 is not JSON")

    def test_a_connection_that_breaks_loses_nothing(self, api: ApiWorld, url: str) -> None:
        headers = api.fresh()
        tries = 0

        class Breaking(httpx.HTTPTransport):
            def handle_request(self, request: httpx.Request) -> httpx.Response:
                nonlocal tries
                tries += 1
                answer = super().handle_request(request)
                if tries == 1:  # all of it arrived, and the answer is lost
                    answer.read()
                    raise httpx.ReadError("cut")
                return answer

        paused: list[float] = []
        with client_at(url, headers, transport=Breaking(), sleep=paused.append) as client:
            sent = client.send_lines(io.BytesIO(lines(30)))
        assert (sent.taken_in, sent.known, paused) == (0, 30, [0.5])
        assert len(api.log(headers).documents()) == 30

    def test_a_limit_of_a_minute_is_waited_for(
        self, api: ApiWorld, url: str, client_of: Open
    ) -> None:
        headers = api.fresh()
        with client_of(headers) as client:
            client.send_lines(io.BytesIO(lines(5)))
        log = api.log(headers)
        log.set_limits(documents_per_minute=0)
        paused: list[float] = []

        def sleep(seconds: float) -> None:
            paused.append(seconds)
            log.set_limits(documents_per_minute=6000)

        with client_at(url, headers, patience=Patience(seconds=1e9), sleep=sleep) as client:
            sent = client.send_lines(io.BytesIO(lines(8)))
        assert (sent.read, sent.known, sent.taken_in) == (8, 5, 3)
        assert len(paused) == 1

    def test_a_quota_ends_it_with_what_the_service_says(
        self, api: ApiWorld, client_of: Open
    ) -> None:
        headers = api.fresh()
        api.log(headers).set_limits(max_documents=4)
        sent = Sent()
        with (
            client_of(headers) as client,
            pytest.raises(TooLargeError, match="4 documents") as caught,
        ):
            client.send_lines(io.BytesIO(lines(9)), sent=sent)
        assert caught.value.status == 413
        assert sent.taken_in == 4

    def test_a_wrong_key_is_said_at_once(self, client_of: Open) -> None:
        headers = {"authorization": "Bearer mplus_no"}
        with client_of(headers) as client, pytest.raises(AuthenticationError, match="401"):
            client.send_lines(io.BytesIO(lines(1)))

    def test_nobody_answers(self) -> None:
        options: dict[str, Any] = {"patience": Patience(tries=2), "sleep": lambda seconds: None}
        with (
            Client("http://127.0.0.1:9", "mplus_no", **options) as client,
            pytest.raises(UnreachableError, match=r"POST http://127\.0\.0\.1:9/v1/documents:"),
        ):
            client.send_lines(io.BytesIO(lines(1)))


class TestFiles:
    def test_a_table_longer_than_a_request_may_be_arrives(
        self, api: ApiWorld, client_of: Open, tmp_path: Path
    ) -> None:
        headers = api.fresh()
        table = tmp_path / "keepers.csv"
        rows = "".join(f"Keeper {number} waits for the ferry.\n" for number in range(300))
        table.write_text(f"text\n{rows}")
        sent = Sent()
        with client_of(headers) as client:
            client.send_file(table, "in/keepers.csv", sent=sent)
        assert (sent.taken_in, sent.refused, sent.requests) == (300, 0, 3)
        found = api.log(headers).documents()
        assert [each.key for each in found][::150] == ["in/keepers.csv#1", "in/keepers.csv#151"]

    def test_what_is_refused_is_counted(
        self, api: ApiWorld, client_of: Open, tmp_path: Path
    ) -> None:
        (tmp_path / "a.psd").write_bytes(b"8BPS\0\1")
        sent = Sent()
        with client_of(api.fresh()) as client:
            client.send_file(tmp_path / "a.psd", "a.psd", sent=sent)
        assert sent.refusals == {(".psd", "unsupported format"): 1}
        assert [source for source, _ in sent.failed] == ["a.psd"]
