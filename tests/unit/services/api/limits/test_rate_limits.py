"""What a tenant may do in a minute and at once, by a clock that is passed in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from prometheus_client import CollectorRegistry

from mplus_ray.model.errors import RateLimitedError
from mplus_ray.pipeline.ledger.tenant import Tenant
from mplus_ray.services.api.deps import Limits
from mplus_ray.services.api.limits import rate_limits as limits_module
from mplus_ray.services.api.limits.rate_limits import Meter
from mplus_ray.services.api.metrics import ApiMetrics
from tests.api_world import ApiWorld, serving
from tests.worlds import load_model


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


ANNA = Tenant("a" * 32, "anna", 0, "f")
BRUNO = Tenant("b" * 32, "bruno", 0, "f")
LIMITS = Limits(documents_per_minute=60, tokens_per_minute=600, concurrent_questions=2)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def meter(clock: Clock, registry: CollectorRegistry) -> Meter:
    return Meter(LIMITS, ApiMetrics(registry), clock)


def test_a_minutes_worth_at_once_and_then_evenly(meter: Meter, clock: Clock) -> None:
    for _ in range(60):
        meter.take(ANNA, 1, 0)
    with pytest.raises(RateLimitedError) as refused:
        meter.take(ANNA, 1, 0)
    assert refused.value.retry_after == pytest.approx(1.0)
    clock.now += 0.999
    with pytest.raises(RateLimitedError):
        meter.take(ANNA, 1, 0)
    clock.now += 0.001
    meter.take(ANNA, 1, 0)
    clock.now += 3600  # never more than a minute's worth
    meter.take(ANNA, 60, 0)
    with pytest.raises(RateLimitedError):
        meter.take(ANNA, 1, 0)


def test_both_are_counted_or_none(meter: Meter) -> None:
    meter.take(ANNA, 0, 600)
    with pytest.raises(RateLimitedError):
        meter.take(ANNA, 60, 1)
    meter.take(ANNA, 60, 0)


def test_what_is_larger_than_a_minute_waits_for_a_full_one(meter: Meter, clock: Clock) -> None:
    meter.take(ANNA, 1, 1)
    with pytest.raises(RateLimitedError) as refused:
        meter.take(ANNA, 1, 6000)
    assert refused.value.retry_after == pytest.approx(0.1)
    clock.now += 0.1
    meter.take(ANNA, 1, 6000)
    with pytest.raises(RateLimitedError) as refused:
        meter.take(ANNA, 1, 1)
    assert refused.value.retry_after == pytest.approx(9 * 60 + 0.1)


def test_checking_counts_nothing(meter: Meter) -> None:
    for _ in range(3):
        meter.check(ANNA, 60, 600)
    meter.take(ANNA, 60, 600)
    with pytest.raises(RateLimitedError):
        meter.check(ANNA, 1, 0)


def test_tenants_do_not_share(meter: Meter) -> None:
    meter.take(ANNA, 60, 600)
    meter.take(BRUNO, 60, 600)


def test_a_tenant_may_have_limits_of_its_own(meter: Meter) -> None:
    own = Tenant("c" * 32, "c", 0, "f", documents_per_minute=1, concurrent_questions=0)
    meter.take(own, 1, 600)
    with pytest.raises(RateLimitedError):
        meter.take(own, 1, 0)
    with pytest.raises(RateLimitedError), meter.question(own):
        pass


def test_so_many_questions_at_once(meter: Meter) -> None:
    with meter.question(ANNA), meter.question(ANNA):
        with pytest.raises(RateLimitedError), meter.question(ANNA):
            pass
        with meter.question(BRUNO):
            pass
    with meter.question(ANNA), meter.question(ANNA):
        pass


def test_a_question_that_fails_is_over(meter: Meter) -> None:
    for _ in range(5):
        with pytest.raises(KeyError), meter.question(ANNA):
            raise KeyError


def test_who_did_nothing_for_long_is_forgotten(
    meter: Meter, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits_module, "_KEPT_BUCKETS", 4)
    for number in range(100):
        clock.now += 61
        meter.take(Tenant(str(number), "t", 0, "f"), 1, 1)
    assert len(meter._buckets) <= 6


def test_what_was_refused_is_counted(meter: Meter, registry: CollectorRegistry) -> None:
    meter.take(ANNA, 60, 0)
    with pytest.raises(RateLimitedError):
        meter.take(ANNA, 1, 0)
    assert registry.get_sample_value("mplus_limited_total", {"limit": "documents"}) == 1


class TestOverHttp:
    @pytest.fixture
    def api(self, tmp_path_factory: pytest.TempPathFactory, clock: Clock) -> Iterator[ApiWorld]:
        folder = tmp_path_factory.mktemp("limits")
        limits = Limits(documents_per_minute=2, tokens_per_minute=100)
        model = load_model(folder / "checkpoint")
        with serving(model, folder, limits=limits, writer=False, clock=clock) as world:
            yield world

    def test_documents_and_tokens(self, api: ApiWorld, clock: Clock) -> None:
        headers = api.fresh()

        def post(text: str) -> tuple[int, str | None]:
            answer = api.client.post("/v1/documents", json={"text": text}, headers=headers)
            return answer.status_code, answer.headers.get("retry-after")

        taken = (202, None)
        assert [post("a"), post("b"), post("c")] == [taken, taken, (429, "30")]
        clock.now += 30
        assert [post("c"), post("d")] == [taken, (429, "30")]
        clock.now += 60
        assert post("e" * 200) == taken  # two minutes' worth
        clock.now += 30
        assert post("f") == (429, "31")
        assert len(api.log(headers).documents()) == 4

    def test_of_one_request_as_many_as_fit(self, api: ApiWorld) -> None:
        sent = {"documents": [{"text": text} for text in "abcd"]}
        answer = api.client.post("/v1/documents", json=sent, headers=api.fresh())
        assert answer.status_code == 202
        assert len(answer.json()["documents"]) == 2
        (failed,) = answer.json()["failed"]
        assert "2 documents a minute" in failed["reason"]
