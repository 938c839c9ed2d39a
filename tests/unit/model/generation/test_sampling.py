"""Choosing a token: each option does what it says, and impossible ones are refused."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mplus_ray.model.errors import InvalidInputError
from mplus_ray.model.generation.sampling import Sampling, next_token

LOGITS = torch.tensor([1.0, 3.0, 2.0, -1.0, 2.5, 0.0])


def draws(sampling, logits=LOGITS, seen=(), count=3000):
    generator = sampling.generator()
    drawn = [next_token(logits, seen, sampling, generator) for _ in range(count)]
    return [drawn.count(token) / count for token in range(len(logits))]


def test_greedy_is_the_default_and_takes_the_likeliest():
    sampling = Sampling()
    assert next_token(LOGITS, [], sampling, sampling.generator()) == 1


def test_a_tie_goes_to_the_first():
    sampling = Sampling()
    assert next_token(torch.zeros(5), [], sampling, sampling.generator()) == 0


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_temperature_draws_from_the_softmax(temperature):
    expected = (LOGITS / temperature).softmax(0).tolist()
    for drawn, wanted in zip(draws(Sampling(temperature=temperature)), expected, strict=True):
        assert drawn == pytest.approx(wanted, abs=0.035)


@pytest.mark.parametrize("temperature", [1e-3, 1e-20, 1e-40, 5e-324])
def test_hardly_any_temperature_is_greedy(temperature):
    logits = LOGITS * 100
    assert draws(Sampling(temperature=temperature), logits, count=20)[1] == 1.0


def test_a_huge_temperature_is_uniform():
    assert min(draws(Sampling(temperature=1e30))) > 0.1


def test_top_k():
    drawn = draws(Sampling(temperature=1.0, top_k=2))
    assert [p > 0 for p in drawn] == [False, True, False, False, True, False]
    assert draws(Sampling(temperature=5.0, top_k=1), count=50)[1] == 1.0
    assert min(draws(Sampling(temperature=9.0, top_k=100))) > 0


def test_top_p_keeps_the_fewest_that_reach_it():
    probabilities = LOGITS.softmax(0)
    best_two = float(probabilities[1] + probabilities[4])
    kept = [p > 0 for p in draws(Sampling(temperature=1.0, top_p=best_two - 0.01))]
    assert kept == [False, True, False, False, True, False]
    kept = [p > 0 for p in draws(Sampling(temperature=1.0, top_p=best_two + 0.01))]
    assert kept == [False, True, True, False, True, False]
    assert draws(Sampling(temperature=1.0, top_p=1e-9), count=50)[1] == 1.0


def test_repetition_penalty_divides_positive_and_multiplies_negative_logits():
    logits = torch.tensor([4.0, 3.0, -1.0, -1.5])
    sampling = Sampling(repetition_penalty=2.0)
    generator = sampling.generator()
    assert next_token(logits, [0], sampling, generator) == 1
    assert next_token(logits, [0, 1], sampling, generator) == 0
    assert next_token(logits[2:], [0], sampling, generator) == 1
    assert next_token(logits, [0, 0, 0], sampling, generator) == 1, "once, however often seen"


def test_the_logits_are_left_as_they_were():
    logits = LOGITS.clone()
    sampling = Sampling(temperature=0.7, top_k=3, top_p=0.9, repetition_penalty=1.3)
    next_token(logits, [0, 1, 2], sampling, sampling.generator())
    assert torch.equal(logits, LOGITS)


@given(seed=st.integers(0, (1 << 63) - 1))
def test_a_seed_repeats_its_draws(seed):
    sampling = Sampling(temperature=1.0, seed=seed)
    one, other = sampling.generator(), sampling.generator()
    for _ in range(5):
        assert next_token(LOGITS, [], sampling, one) == next_token(LOGITS, [], sampling, other)


def test_other_seeds_draw_otherwise():
    logits = torch.zeros(1000)
    drawn = set()
    for seed in range(20):
        sampling = Sampling(temperature=1.0, seed=seed)
        drawn.add(next_token(logits, [], sampling, sampling.generator()))
    assert len(drawn) > 15


@given(
    logits=st.lists(st.floats(-200, 200), min_size=1, max_size=12),
    temperature=st.floats(0, 100),
    top_k=st.integers(0, 15),
    top_p=st.floats(0, 1, exclude_min=True),
    penalty=st.floats(0.5, 2),
)
def test_any_options_choose_some_token(logits, temperature, top_k, top_p, penalty):
    sampling = Sampling(
        temperature=temperature, top_k=top_k, top_p=top_p, repetition_penalty=penalty
    )
    token = next_token(torch.tensor(logits), [0], sampling, sampling.generator())
    assert 0 <= token < len(logits)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": -3}, "max_tokens"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"max_tokens": 2.5}, "max_tokens"),
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": math.nan}, "temperature"),
        ({"temperature": math.inf}, "temperature"),
        ({"temperature": None}, "temperature"),
        ({"top_k": -1}, "top_k"),
        ({"top_k": 1.5}, "top_k"),
        ({"top_p": 0.0}, "top_p"),
        ({"top_p": 1.1}, "top_p"),
        ({"top_p": math.nan}, "top_p"),
        ({"repetition_penalty": 0.0}, "repetition_penalty"),
        ({"repetition_penalty": -1.0}, "repetition_penalty"),
        ({"repetition_penalty": math.inf}, "repetition_penalty"),
        ({"repetition_penalty": 1e300}, "repetition_penalty"),
        ({"repetition_penalty": 1e-300}, "repetition_penalty"),
        ({"seed": -1}, "seed"),
        ({"seed": 1 << 63}, "seed"),
        ({"stop": ("",)}, "stop"),
        ({"stop": "end"}, "stop"),
        ({"stop": (3,)}, "stop"),
        ({"stop_ids": ("x",)}, "stop_ids"),
    ],
)
def test_impossible_options_are_refused(options, said):
    with pytest.raises(InvalidInputError, match=said):
        Sampling(**options)


def test_all_impossible_options_are_named_at_once():
    with pytest.raises(InvalidInputError, match=r"max_tokens.*top_p"):
        Sampling(max_tokens=0, top_p=2.0)
