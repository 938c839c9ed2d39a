"""Ranges of steps: merged, compared, and as masks."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mplus_ray.model.memory.step_ranges import StepRanges

pairs = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=12)


@given(pairs, st.integers(0, 50))
def test_a_mask_is_of_the_steps_in_any_range(ranges: list[tuple[int, int]], steps: int) -> None:
    inside = {step for first, end in ranges for step in range(first, end)}
    assert StepRanges.of(ranges).mask(steps).tolist() == [step in inside for step in range(steps)]


@given(pairs)
def test_the_same_steps_are_the_same_ranges(ranges: list[tuple[int, int]]) -> None:
    made = StepRanges.of(ranges)
    alone = [(step, step + 1) for first, end in reversed(ranges) for step in range(first, end)]
    assert StepRanges.of(alone) == made == StepRanges.of(made)
    bounds = [bound for pair in made for bound in pair]
    assert bounds == sorted(set(bounds)), "they ascend, and none touches the next"
    assert len(made) == len(list(made))
