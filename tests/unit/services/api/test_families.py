"""A fork shares its limits with the memory that it goes back to, waits for no writer, and what a
file takes to parse is its tenant's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from mplus_ray.pipeline.ledger.heads.lease_owner import new_owner
from mplus_ray.services.api.deps import Limits
from tests.api_world import ApiWorld, serving
from tests.worlds import load_model


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def api(tmp_path_factory: pytest.TempPathFactory, clock: Clock) -> Iterator[ApiWorld]:
    folder = tmp_path_factory.mktemp("families")
    limits = Limits(documents_per_minute=5, forks=3, parse_seconds_per_minute=10)
    model = load_model(folder / "checkpoint")
    with serving(model, folder, limits=limits, writer=False, clock=clock) as world:
        yield world


def fork(api: ApiWorld, headers: dict[str, str], name: str) -> tuple[int, dict[str, str]]:
    """The status, and the headers of a key to the fork."""
    answer = api.client.post("/v1/memory/fork", json={"name": name}, headers=headers)
    return answer.status_code, {"authorization": f"Bearer {answer.json().get('secret')}"}


def post(api: ApiWorld, headers: dict[str, str], text: str) -> int:
    return api.client.post("/v1/documents", json={"text": text}, headers=headers).status_code


def test_forks_are_capped_also_those_of_forks(api: ApiWorld) -> None:
    headers = api.fresh()
    status, first = fork(api, headers, "one")
    assert status == 201
    assert fork(api, first, "two")[0] == 201
    assert fork(api, headers, "three")[0] == 201
    for each in (headers, first):
        assert fork(api, each, "four")[0] == 413
    assert fork(api, api.fresh(), "four")[0] == 201


def test_forks_do_not_multiply_what_a_minute_allows(api: ApiWorld) -> None:
    headers = api.fresh()
    first = fork(api, headers, "one")[1]
    second = fork(api, first, "two")[1]
    for number, each in enumerate((headers, first, second, headers, first)):
        assert post(api, each, f"Raven {number}.") == 202
    for each in (headers, first, second):
        assert post(api, each, "One more.") == 429
    assert post(api, api.fresh(), "The owl.") == 202


def test_a_fork_does_not_wait_for_a_writer_at_work(api: ApiWorld) -> None:
    headers = api.fresh()
    assert post(api, headers, "The raven is black. " * 50) == 202
    log = api.log(headers)
    lease = log.heads.claim(new_owner(), 60.0, lambda owner: False)
    try:
        assert fork(api, headers, "one")[0] == 201
    finally:
        log.heads.release(lease)


def upload(api: ApiWorld, headers: dict[str, str], body: bytes = b"%PDF-1.4 no") -> int:
    files = {"files": ("a.pdf", body, "application/pdf")}
    return api.client.post("/v1/documents", files=files, headers=headers).status_code


def test_files_that_cannot_be_read_count(api: ApiWorld, clock: Clock) -> None:
    headers = api.fresh()
    assert [upload(api, headers) for _ in range(5)] == [422] * 5
    assert upload(api, headers) in (422, 429)
    assert post(api, headers, "The raven.") == 429
    clock.now += 60
    assert post(api, headers, "The raven.") == 202


def test_time_of_parsers_is_a_budget(api: ApiWorld, clock: Clock) -> None:
    headers = api.fresh()
    api.app.state.meter.parsed(api.log(headers).tenant, 15.0)
    assert upload(api, headers, b"The raven.") == 429
    assert post(api, headers, "The raven.") == 202
    clock.now += 40
    assert upload(api, headers) == 422


def test_metadata_counts_in_the_quota(api: ApiWorld) -> None:
    log, headers = api.tenant("counted")
    log.set_limits(max_bytes=20 * log.tenant.bytes_per_step + 100_000)

    def post_with(name: str, nbytes: int) -> int:
        sent = {"id": name, "text": f"Raven {name}.", "metadata": {"a": "x" * nbytes}}
        return api.client.post("/v1/documents", json=sent, headers=headers).status_code

    assert post_with("a", 60_000) == 202
    assert post_with("b", 900) == 202
    assert post_with("c", 60_000) == 413
    assert post_with("a", 30_000) == 202  # known: the same text under the same id
