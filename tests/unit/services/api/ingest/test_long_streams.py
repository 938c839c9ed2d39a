"""A stream of lines that is longer than a limit arrives whole, and the answer accounts for it."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest

from mplus_ray.pipeline.ledger.tenant_log import Accepted
from mplus_ray.services.api.deps import Limits
from mplus_ray.services.api.ingest.result import IngestResult
from tests.api_world import ApiWorld, serving
from tests.worlds import load_model

_MOST = 400  # lines of one request


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiWorld]:
    folder = tmp_path_factory.mktemp("streams")
    limits = Limits(lines=_MOST)
    with serving(load_model(folder / "checkpoint"), folder, writer=False, limits=limits) as world:
        yield world


def lines(count: int, start: int = 0) -> bytes:
    texts = (f"Keeper {number} waits." for number in range(start, start + count))
    return b"".join(json.dumps({"text": text}).encode() + b"\n" for text in texts)


def send(api: ApiWorld, headers: dict[str, str], body: bytes) -> dict[str, Any]:
    kind = {"content-type": "application/x-ndjson"}
    answer = api.client.post("/v1/documents", content=body, headers={**headers, **kind})
    assert answer.status_code == 202, answer.text
    found: dict[str, Any] = answer.json()
    return found


def counts(answer: dict[str, Any]) -> tuple[int, int, int, int, int | None]:
    read, new, known = answer["read"], answer["taken_in"], answer["known"]
    return read, new, known, answer["refused"], answer["next_line"]


def test_a_limit_slows_a_stream_and_does_not_cut_it(
    api: ApiWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = api.fresh(documents_per_minute=3000)
    monkeypatch.setattr("mplus_ray.services.api.limits.rate_limits._MINUTE", 0.5)
    answer = send(api, headers, lines(60))
    assert counts(answer) == (60, 60, 0, 0, None)
    api.log(headers).set_limits(documents_per_minute=50)
    assert counts(send(api, headers, lines(120, 60))) == (120, 120, 0, 0, None)


def test_what_is_known_counts_for_no_limit(api: ApiWorld) -> None:
    headers = api.fresh()
    assert counts(send(api, headers, lines(30))) == (30, 30, 0, 0, None)
    api.log(headers).set_limits(documents_per_minute=0)
    assert counts(send(api, headers, lines(30))) == (30, 0, 30, 0, None)


def test_the_answer_says_where_to_go_on(api: ApiWorld) -> None:
    headers = api.fresh()
    body = lines(_MOST + 50)
    first = send(api, headers, body)
    assert counts(first) == (_MOST, _MOST, 0, 0, _MOST + 1)
    rest = b"".join(body.splitlines(keepends=True)[first["next_line"] - 1 :])
    assert counts(send(api, headers, rest)) == (50, 50, 0, 0, None)


def test_a_limit_that_never_ends_is_told_with_the_line(api: ApiWorld) -> None:
    headers = api.fresh()
    send(api, headers, lines(5))
    api.log(headers).set_limits(documents_per_minute=0)
    answer = send(api, headers, lines(8))
    assert counts(answer) == (5, 0, 5, 0, 6)
    assert answer["failed"][-1]["source"] == "line 6 and what follows"


def test_many_bad_lines_do_not_end_a_stream(api: ApiWorld) -> None:
    headers = api.fresh()
    answer = send(api, headers, lines(1) + b"{}\n" * 1500 + lines(2, 1))
    assert counts(answer) == (1503, 3, 0, 1500, None)
    assert len(answer["failed"]) == 1000
    assert answer["refusals"] == [
        {"kind": "line", "reason": "not as its format asks", "count": 1500}
    ]


def test_a_stream_that_begins_badly_says_where_to_go_on(api: ApiWorld) -> None:
    headers = {**api.fresh(), "content-type": "application/x-ndjson"}
    answer = api.client.post("/v1/documents", content=b"{}\n" * 1200 + lines(1), headers=headers)
    problem = answer.json()
    assert (answer.status_code, problem["next_line"]) == (422, 1001)
    assert problem["refusals"][0]["count"] == 1000


def test_what_is_kept_of_a_long_stream_is_little() -> None:
    """A hundred thousand lines: an internal id of each, and the first thousand."""
    tray = IngestResult()
    tracemalloc.start()
    for number in range(100_000):
        accepted = Accepted(f"{number:032x}", f"key {number}", number, 1, new=True)
        tray.accept(accepted, 7)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (len(tray.listed), len(tray.documents), tray.new) == (1000, 100_000, 100_000)
    assert tray.min_step == 100_000
    assert held < 12 * 2**20


@pytest.mark.parametrize("kind", ["application/json", "application/x-ndjson"])
def test_half_a_character_in_an_id_is_refused(api: ApiWorld, kind: str) -> None:
    body = b'{"id": "a\\ud800", "text": "One."}\n'
    headers = {**api.fresh(), "content-type": kind}
    answer = api.client.post("/v1/documents", content=body, headers=headers)
    assert answer.status_code == 422
    assert "cannot be a document's id" in answer.text
