"""Block scores: what training optimizes is what inference ranks by."""

from __future__ import annotations

import torch

from model.blocks import best_blocks, block_scores, layer_scores


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


def test_layers_add_up_and_slabs_do_not_matter() -> None:
    queries = [torch.randn(5, 4) for _ in range(3)]
    keys = [torch.randn(9, 3, 4) for _ in range(3)]

    whole = block_scores(queries, keys)
    halves = [block_scores(queries, [k[part] for k in keys]) for part in (slice(4), slice(4, 9))]

    assert whole.shape == (9,)
    assert torch.allclose(whole, torch.cat(halves), atol=1e-6)


def test_best_blocks_come_oldest_first() -> None:
    scores = torch.tensor([0.1, 0.9, 0.3, 0.8])

    assert best_blocks(scores, 2).tolist() == [1, 3]
    assert best_blocks(scores, 9).tolist() == [0, 1, 2, 3]
