"""What many samples come to."""

from __future__ import annotations

import pytest

from mplus_ray.bench.serve.samples import (
    Load,
    ServeBenchError,
    TimedQuestion,
    growth,
    killed,
    overhead,
)
from tests.unit.bench.serve.samples import sample


def test_times_and_rates_are_of_answers_only() -> None:
    load = Load([sample(0, 2), sample(0, 4, tokens=5), sample(0, 90, error="503: full")], 4.0)
    assert load.first_token_ms()["p50"] == pytest.approx(1500)
    assert load.first_token_ms()["n"] == 2
    assert load.rates() == {"p50": 2.0, "p99": 2.0, "total": 2.0, "n": 2}
    assert load.errors == {"503: full": 1}


def test_slow_answers_are_what_the_99th_percentile_of_rates_is_about() -> None:
    rates = Load([sample(0, 2, tokens=t) for t in (2, *[11] * 9)], 2.0).rates()
    assert rates["p50"] == 10.0
    assert 1.0 <= rates["p99"] < 3.0


def test_an_empty_answer_is_there_when_it_ends() -> None:
    empty = TimedQuestion(1.0, 3.0)
    assert empty.to_first == 2.0
    assert empty.rate is None


@pytest.mark.parametrize("samples", [[], [sample(0, 1, error="500: broken")]])
def test_a_load_without_answers_is_an_error(samples: list[TimedQuestion]) -> None:
    with pytest.raises(ServeBenchError, match=r"no question of \d was answered"):
        Load(samples, 1.0).first_token_ms()


def test_overhead_is_of_pairs_and_leaves_out_what_failed() -> None:
    service = [sample(0, 0.030), sample(0, 0.050), sample(0, 9, error="503")]
    found = overhead(service, [sample(0, 0.020), sample(0, 0.020), sample(0, 0.020)])
    assert found["p50"] == pytest.approx(20)
    assert found["service"] == pytest.approx(40)
    assert found["bare"] == pytest.approx(20)
    assert found["first_token_p50"] == pytest.approx(10)
    assert found["n"] == 2
    with pytest.raises(ServeBenchError, match="both ways"):
        overhead(service[2:], [sample(0, 1)])


def test_a_kill_is_charged_with_what_was_in_flight_and_with_what_was_not() -> None:
    samples = [
        sample(0, 9),
        sample(9, 11, error="503: lost"),
        sample(9.5, 10, error="503: lost"),
        sample(10.5, 12, error="503: none there"),
        sample(10.5, 15.5),
        sample(11.5, 14.5),
        sample(9, 14),
    ]
    found = killed(samples, [10.0])
    assert found["failed"] == 3
    assert found["in_flight"] == 2
    assert found["under_way"] == 3
    assert found["back_seconds"] == pytest.approx(3.0)
    assert found["asked"] == 7


def test_the_longest_of_several_kills_counts_and_each_needs_an_answer() -> None:
    samples = [sample(1, 3), sample(11, 21)]
    assert killed(samples, [0.0, 10.0])["back_seconds"] == pytest.approx(6.0)
    with pytest.raises(ServeBenchError, match="not followed"):
        killed(samples, [0.0, 12.0])


def test_growth_is_of_medians_of_thirds() -> None:
    assert growth([100, 900, 100, 5, 5, 5, 110, 110, 0]) == pytest.approx(0.1)
    with pytest.raises(ServeBenchError, match="no thirds"):
        growth([1, 2])
