"""Block scores: what training optimizes is what inference ranks by."""

from __future__ import annotations

import numpy as np
import torch

from mplus_ray.model.retrieval.block_scores import layer_scores
from mplus_ray.model.retrieval.retriever import rows_of_best_blocks


def test_every_token_votes_for_its_best_row() -> None:
    queries = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    keys = torch.tensor([[[3.0, 0.0], [0.0, 1.0]], [[0.0, 0.0], [2.0, 2.0]]])

    scores = layer_scores(queries, keys)

    assert torch.allclose(scores * 2**0.5, torch.tensor([[2.0, 2.0]]))


def test_weights_leave_padding_out() -> None:
    queries, keys = torch.randn(2, 5, 4), torch.randn(7, 3, 4)
    weights = torch.tensor([[1 / 3] * 3 + [0.0] * 2, [0.2] * 5])

    scores = layer_scores(queries, keys, weights)

    assert torch.allclose(scores[0], layer_scores(queries[:1, :3], keys)[0], atol=1e-6)
    assert torch.allclose(scores[1], layer_scores(queries[1:], keys)[0], atol=1e-6)


def test_slabs_do_not_matter() -> None:
    queries, keys = torch.randn(1, 5, 4), torch.randn(9, 3, 4)

    halves = [layer_scores(queries, part) for part in (keys[:4], keys[4:])]

    assert torch.allclose(layer_scores(queries, keys), torch.cat(halves, dim=1), atol=1e-6)


def elected(votes: list[float], count: int, recent: int = 0, gap: float | None = None) -> list[int]:
    """The blocks, of one row each, that are elected of all but the first."""
    eligible = np.array([False] + [True] * (len(votes) - 1))
    rows = [np.arange(len(votes))] * 2
    first, second = rows_of_best_blocks(torch.tensor(votes), eligible, rows, 1, count, recent, gap)
    assert np.array_equal(first, second)
    return first.tolist()


def test_the_best_blocks_come_oldest_first() -> None:
    assert elected([9.0, 0.1, 0.9, 0.3, 0.8], 2) == [2, 4]
    assert elected([9.0, 0.1, 0.9, 0.3, 0.8], 9) == [1, 2, 3, 4]


def test_blocks_far_behind_the_best_are_left_out_but_for_the_newest() -> None:
    assert elected([9.0, 0.1, 0.9, 0.3, 0.8], 3, gap=0.1) == [2, 4]
    assert elected([9.0, 0.1, 0.9, 0.3, 0.8], 3, gap=0.0) == [2]
    assert elected([9.0, 0.1, 0.9, 0.8, 0.2], 3, recent=1, gap=0.2) == [2, 3, 4]
    assert elected([9.0], 3, gap=0.1) == []
