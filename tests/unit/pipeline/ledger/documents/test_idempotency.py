"""A request with an idempotency key is done once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select

from mplus_ray.model.errors import ConflictError, InvalidInputError
from mplus_ray.pipeline.ledger.documents.idempotency import StoredResponse
from mplus_ray.pipeline.ledger.ledger import Ledger
from mplus_ray.pipeline.ledger.schema import answers
from mplus_ray.pipeline.ledger.tenant_log import TenantLog
from tests.logs import Clock

pytest_plugins = ["tests.postgres"]

DAY = 24 * 3600
RESPONSE = {"id": "ü", "documents": [1, None, {"x": 0.5}]}


@pytest.fixture
def log(ledger: Ledger) -> TenantLog:
    return ledger.create_tenant("anna", "f1")


def test_the_answer_is_given_again(log: TenantLog) -> None:
    assert log.answered.claim("k", "d") is None
    log.answered.keep("k", "d", 202, RESPONSE)
    assert log.answered.claim("k", "d") == StoredResponse(202, RESPONSE)


def test_another_request_is_refused(log: TenantLog) -> None:
    log.answered.claim("k", "d")
    for _ in range(2):
        with pytest.raises(ConflictError, match="another request before"):
            log.answered.claim("k", "other")
        log.answered.keep("k", "d", 202, RESPONSE)


def test_the_same_request_waits_for_the_first(log: TenantLog, clock: Clock) -> None:
    log.answered.claim("k", "d")
    with pytest.raises(ConflictError, match="still at work"):
        log.answered.claim("k", "d")
    clock.now += 300  # its process died
    assert log.answered.claim("k", "d") is None


def test_a_failed_one_may_be_tried_again(log: TenantLog) -> None:
    log.answered.claim("k", "d")
    log.answered.drop("k", "d")
    assert log.answered.claim("k", "other") is None


def test_dropping_leaves_answers_alone(log: TenantLog) -> None:
    log.answered.claim("k", "d")
    log.answered.keep("k", "d", 202, RESPONSE)
    log.answered.drop("k", "d")
    assert log.answered.claim("k", "d") == StoredResponse(202, RESPONSE)


def test_one_that_was_taken_for_dead_answers_nothing(log: TenantLog, clock: Clock) -> None:
    log.answered.claim("k", "slow")
    clock.now += 300
    log.answered.claim("k", "d")
    log.answered.keep("k", "slow", 500, {})
    log.answered.keep("k", "d", 202, RESPONSE)
    assert log.answered.claim("k", "d") == StoredResponse(202, RESPONSE)


def test_a_day_later_the_key_is_free(log: TenantLog, clock: Clock) -> None:
    for key in "abc":
        log.answered.claim(key, "d")
        log.answered.keep(key, "d", 202, RESPONSE)
    clock.now += DAY - 1
    assert log.answered.claim("a", "d") is not None
    clock.now += 1
    assert log.answered.claim("a", "d") is None
    with log.scope.reading() as connection:
        assert connection.execute(select(func.count()).select_from(answers)).scalar() == 1


def test_one_of_many_at_once_does_it(log: TenantLog) -> None:
    def claim(_: int) -> str:
        try:
            return "mine" if log.answered.claim("k", "d") is None else "kept"
        except ConflictError:
            return "refused"

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(claim, range(8))) == ["mine"] + ["refused"] * 7


def test_tenants_have_keys_of_their_own(ledger: Ledger, log: TenantLog) -> None:
    log.answered.claim("k", "d")
    log.answered.keep("k", "d", 202, RESPONSE)
    other = ledger.create_tenant("bela", "f1")
    assert other.answered.claim("k", "other") is None
    assert ledger.fork_tenant(log, "cleo").answered.claim("k", "other") is None
    ledger.marked.begin_removal(ledger.delete_tenant("anna").id)
    with other.scope.reading() as connection:
        assert connection.execute(select(func.count()).select_from(answers)).scalar() == 2


@pytest.mark.parametrize("key", ["", "x" * 256, "a\nb", "\0"])
def test_an_impossible_key(log: TenantLog, key: str) -> None:
    with pytest.raises(InvalidInputError, match="255 printable"):
        log.answered.claim(key, "d")
