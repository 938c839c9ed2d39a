"""Of blocks with the same words, those are better where they stand as in the question."""

from __future__ import annotations

import numpy as np
import pytest

from mplus_ray.model.index.word_index import WordIndex
from mplus_ray.model.index.word_nearness import nearness

IDF = {"ferry": 2.0, "brelin": 3.0, "nine": 1.0}
FAR = ["stone"] * 12


def test_words_that_follow_one_another_as_in_the_question() -> None:
    question = ["ferry", "brelin", "nine"]

    follow = nearness(question, ["ferry", "brelin", *FAR, "nine"], IDF)
    turned = nearness(question, ["brelin", "ferry", *FAR, "nine"], IDF)

    assert follow == pytest.approx(0.3 * 2.5 + 0.4 * 5.0)
    assert turned == pytest.approx(0.4 * 5.0)


def test_the_densest_window_counts_each_word_once() -> None:
    block = ["ferry", "ferry", *FAR, "brelin", "stone", "nine", *FAR, "ferry"]

    assert nearness(["nine"], block, IDF) == pytest.approx(0.4 * 4.0)


def test_a_window_is_eight_words_long() -> None:
    inside, outside = (["ferry", *["stone"] * gap, "nine"] for gap in (6, 7))

    assert nearness(["ferry"], inside, IDF) == pytest.approx(0.4 * 3.0)
    assert nearness(["ferry"], outside, IDF) == pytest.approx(0.4 * 2.0)


def test_words_that_no_block_has_count_for_nothing() -> None:
    assert nearness(["quay", "lamp"], ["quay", "lamp"], {}) == 0


def test_idf_is_that_of_the_known_blocks() -> None:
    index = WordIndex()
    blocks = [["ferry", "brelin"], ["ferry"], ["nine"]]
    index.extend(3, lambda first, end: blocks[first:end])

    everything = index.idf(["brelin", "ferry", "quay"], np.array([True, True, True]))
    without_first = index.idf(["brelin", "ferry"], np.array([False, True, True]))

    assert everything == pytest.approx(
        {"brelin": np.log1p(2.5 / 1.5), "ferry": np.log1p(1.5 / 2.5)}
    )
    assert without_first == pytest.approx({"brelin": np.log1p(2.5 / 0.5), "ferry": np.log1p(1)})
