"""Which rows are dropped: fixed for ever by (seed, step, layer), and fair."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mplus_ray.model.memory.drops import drop_positions

BIG = (1 << 128) - 1


@pytest.mark.parametrize(
    ("seed", "step", "layers", "pool", "count", "expected"),
    [
        (0, 0, 2, 16, 4, [[0, 2, 9, 11], [1, 2, 9, 15]]),
        (7, 123, 2, 40, 5, [[0, 7, 13, 26, 34], [3, 8, 16, 25, 35]]),
        (BIG, 99_999, 1, 32, 3, [[3, 8, 10]]),
    ],
)
def test_the_draw_is_what_it_always_was(seed, step, layers, pool, count, expected):
    """Literal values: a memory saved years ago must go on with the same drops."""
    assert drop_positions(seed, step, layers, pool, count, True).tolist() == expected


def test_a_layer_draws_the_same_whatever_the_number_of_layers():
    few, many = (drop_positions(3, 5, layers, 64, 8, True) for layers in (2, 9))
    assert few.tolist() == many[:2].tolist()


def test_one_draw_for_all_layers_is_the_first_layers():
    together = drop_positions(3, 5, 4, 64, 8, False)
    assert together.shape == (4, 8)
    assert together.tolist() == [drop_positions(3, 5, 1, 64, 8, True)[0].tolist()] * 4


@pytest.mark.parametrize(("pool", "count"), [(1, 1), (16, 4), (16, 16), (17, 16), (10_240, 256)])
def test_positions_ascend_and_are_different_ones(pool, count):
    drawn = drop_positions(11, 2, 3, pool, count, True)
    assert drawn.shape == (3, count)
    assert (np.diff(drawn, axis=1) > 0).all()
    assert drawn.min() >= 0
    assert drawn.max() < pool


def test_nothing_to_drop():
    assert drop_positions(11, 2, 3, 12, 0, True).shape == (3, 0)


@pytest.mark.parametrize("change", [{"seed": 1}, {"seed": 1 << 64}, {"step": 1}, {"step": 1 << 32}])
def test_another_seed_or_step_draws_otherwise(change):
    base: dict[str, Any] = {"seed": 0, "step": 0, "layers": 4, "pool": 256, "count": 64}
    base["per_layer"] = True
    assert drop_positions(**base).tolist() != drop_positions(**{**base, **change}).tolist()


def test_layers_draw_independently():
    rows = drop_positions(0, 0, 32, 256, 64, True)
    assert len({tuple(row) for row in rows.tolist()}) == 32


def test_every_position_is_drawn_about_equally_often():
    steps, pool, count = 4000, 20, 5
    hits = np.zeros(pool)
    for step in range(steps):
        hits[drop_positions(42, step, 1, pool, count, True)[0]] += 1
    expected = steps * count / pool
    deviation = (steps * (count / pool) * (1 - count / pool)) ** 0.5
    assert np.abs(hits - expected).max() < 4 * deviation
