"""What is another's costs as much work as what is not there: the same statements, counted.

Time itself is too noisy for a test; its structure is not.
"""

from __future__ import annotations

import hmac
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Engine, event

from mplus_ray.pipeline.workers.catch_up import catch_up
from tests.api_world import ApiWorld, bearer, serving
from tests.worlds import load_model

GOOD = "mplus_{}_" + "A" * 43


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiWorld]:
    """Nobody else is at work on the ledger, so every statement is a request's."""
    folder = tmp_path_factory.mktemp("work")
    with serving(load_model(folder / "checkpoint"), folder, writer=False) as world:
        yield world


@pytest.fixture(scope="module")
def ids(api: ApiWorld) -> dict[str, str]:
    """Of somebody else."""
    log, headers = api.tenant("theirs")
    sent = {"text": "The raven is black.", "id": "a/theirs"}
    taken = api.client.post("/v1/documents", json=sent, headers=headers).json()
    second = api.client.post("/v1/documents", json={"text": "Two."}, headers=headers).json()
    catch_up(api.world.engine, [log])
    receipt = api.client.delete(second["status_url"], headers=headers).json()
    api.client.post("/v1/memory/snapshot", json={"name": "theirs"}, headers=headers)
    page = api.client.get("/v1/documents?limit=1", headers=headers).json()
    return {
        "document": "a/theirs",
        "job": taken["job_id"],
        "receipt": receipt["id"],
        "cursor": page["next_cursor"],
        "key": api.world.ledger.credentials.list(log)[0].id,
        "snapshot": "theirs",
        "tenant": "theirs",
    }


NONE = {
    "document": "a/nobody",
    "job": "0" * 32,
    "receipt": "1" * 32,
    "key": "00000000",
    "snapshot": "nobody",
    "tenant": "nobody",
}

PROBES = [
    ("GET", "/v1/documents/{document}", None, 404),
    ("DELETE", "/v1/documents/{document}", None, 404),
    ("GET", "/v1/documents?cursor={cursor}", None, 200),
    ("GET", "/v1/documents?q={document}", None, 200),
    ("GET", "/v1/jobs/{job}", None, 404),
    ("GET", "/v1/jobs/{receipt}", None, 404),
    ("GET", "/v1/jobs?cursor={job}", None, 422),
    ("GET", "/v1/jobs?cursor={receipt}", None, 422),
    ("DELETE", "/v1/keys/{key}", None, 404),
    ("POST", "/v1/keys/{key}/rotate", None, 404),
    ("DELETE", "/v1/memory/snapshots/{snapshot}", None, 404),
    ("POST", "/v1/query", {"question": "Who?", "snapshot": "{snapshot}"}, 422),
    ("GET", "/v1/tenants/{tenant}", None, 403),
    ("POST", "/v1/documents", {"text": "The raven is black.", "id": "{document}"}, 202),
]


@contextmanager
def statements() -> Iterator[list[str]]:
    """What databases are told meanwhile, without the notes that no request waits for."""
    told: list[str] = []

    def note(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if not threading.current_thread().name.startswith("notes"):
            told.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield told
    finally:
        event.remove(Engine, "before_cursor_execute", note)


def work(api: ApiWorld, headers: dict[str, str], method: str, url: str, body: Any = None) -> Any:
    with statements() as told:
        answer = api.client.request(method, url, json=body, headers=headers)
    problem = answer.json()
    for drawn in ("request_id", "instance", "detail"):
        problem.pop(drawn, None)
    return answer.status_code, told, problem


@pytest.mark.parametrize(("method", "url", "body", "status"), PROBES)
def test_anothers_id_is_as_much_work_as_nobodys(
    api: ApiWorld, ids: dict[str, str], method: str, url: str, body: Any, status: int
) -> None:
    nobodys = {**NONE, "cursor": f"{'0' * 32}{ids['cursor'][32:]}"}
    done = []
    for named in (ids, nobodys):
        sent = body and {name: value.format(**named) for name, value in body.items()}
        headers = api.fresh()  # with nothing of its own, and nothing found out before
        done.append(work(api, headers, method, url.format(**named), sent))
    (status_1, told_1, _), (status_2, told_2, _) = done
    assert status_1 == status_2 == status
    assert told_1, "no statement was seen"
    assert told_1 == told_2
    if status != 202:
        assert done[0][2] == done[1][2]


def test_a_key_that_is_there_is_as_much_work_as_none(api: ApiWorld, ids: dict[str, str]) -> None:
    """An unknown id, a wrong secret, and one of the operator's."""
    operators = api.operator.split("_")[1]
    done = [
        work(api, bearer(GOOD.format(key)), "GET", "/v1/memory")
        for key in ("00000000", ids["key"], operators)
    ]
    assert {status for status, _, _ in done} == {401}
    assert len(done[0][1]) > 0
    assert done[0] == done[1] == done[2]


def test_a_revoked_key_is_as_much_work_as_none(api: ApiWorld) -> None:
    headers = api.fresh()
    log = api.log(headers)
    key, secret = api.world.ledger.credentials.create(log, ["query"])
    api.world.ledger.credentials.revoke(log, key.id)
    gone = work(api, bearer(secret), "GET", "/v1/memory")
    assert gone == work(api, bearer(GOOD.format("00000000")), "GET", "/v1/memory")


def test_a_secret_is_compared_in_full_whatever_the_id_is(
    api: ApiWorld, ids: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[tuple[int, int]] = []
    compare = hmac.compare_digest

    def counted(one: Any, other: Any) -> bool:
        compared.append((len(one), len(other)))
        return compare(one, other)

    monkeypatch.setattr("mplus_ray.pipeline.ledger.api_keys.hmac.compare_digest", counted)
    for key in ("00000000", ids["key"]):
        work(api, bearer(GOOD.format(key)), "GET", "/v1/memory")
    work(api, bearer("nothing"), "GET", "/v1/memory")
    assert compared == [(64, 64)] * 3
