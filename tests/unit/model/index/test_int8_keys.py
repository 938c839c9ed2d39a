"""The first look's product is right for keys of every width, full vectors or not."""

import pytest
import torch

from mplus_ray.model.index.int8_keys import approximate_scores, quantize


@pytest.mark.parametrize("width", [1, 8, 12, 24, 32, 40, 64, 100])
@pytest.mark.parametrize("rows", [1, 3, 4, 7, 63, 1000])
def test_scores_are_near_the_exact_ones_whatever_the_width(width: int, rows: int) -> None:
    generator = torch.Generator().manual_seed(width * 10_000 + rows)
    keys = torch.randn(rows, width, generator=generator)
    queries = torch.randn(5, width, generator=generator) / width**0.5

    scores = approximate_scores(queries, *quantize(keys))

    exact = (queries.mean(0) @ keys.T).sigmoid()
    assert scores.shape == (rows,)
    torch.testing.assert_close(scores, exact, atol=0.02, rtol=0)
