"""Steps by when what they tell of happened."""

from __future__ import annotations

from mplus_ray.model.memory.step_order import StepOrder


def test_a_step_has_its_number_unless_something_else_is_said() -> None:
    order = StepOrder.of([(4, 6, 0.5), (7, 8, -0.5)])
    by_time = sorted(range(9), key=order.place)
    assert by_time == [7, 0, 4, 5, 1, 2, 3, 6, 8]
    assert sorted(range(3), key=StepOrder().place) == [0, 1, 2]


def test_what_was_true_then() -> None:
    order = StepOrder.of([(4, 6, 0.5)])
    assert order.latest([0, 3, 4]) == 3
    assert StepOrder(order.data, until=0.7).latest([0, 3, 4]) == 4
    assert StepOrder(order.data, until=0.2).latest([0, 3, 4]) == 0
    assert StepOrder(order.data, until=-1.0).latest([3, 4]) == 3, "nothing was, so what came after"


def test_of_two_with_one_place_the_later_came_later() -> None:
    order = StepOrder.of([(0, 1, 9.0), (5, 6, 9.0)])
    assert max((0, 3, 5), key=order.place) == 5
