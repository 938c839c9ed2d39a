"""A first look at many retriever keys: int8 copies against the question's mean query.

It only proposes candidates; `model.retrieval.retriever` scores them exactly and checks that what it
left out could not have won.

Legend: R rows, s key width, n question tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

_LANES = 32  # the AVX-512 product reads whole vectors, beyond the end of a narrower key


def quantize(keys: Tensor) -> tuple[Tensor, Tensor]:
    """Keys [..., R, s] → int8 [..., R, s'] and bfloat16 scales [..., R], one a row.

    s' is s rounded up to whole vectors, filled with zeros.
    """
    scales = (keys.float().abs().amax(-1) / 127).clamp_min(1e-12).bfloat16()
    rounded = (keys.float() / scales.float()[..., None]).round().clamp(-127, 127).char()
    return pad(rounded, (0, -keys.shape[-1] % _LANES)), scales


def approximate_scores(queries: Tensor, keys: Tensor, scales: Tensor) -> Tensor:
    """sigmoid(mean q · k) instead of the mean of sigmoids: [n, s], int8 [R, s'] → [R] float32."""
    mean = pad(queries.mean(0, keepdim=True), (0, keys.shape[1] - queries.shape[1])).bfloat16()
    return torch._weight_int8pack_mm(mean, keys, scales)[0].float().sigmoid_()


def quantile_threshold(scores: Tensor, count: int) -> float:
    """About the `count`-th largest score, found on an even sample."""
    stride = max(1, len(scores) // 8192) | 1  # odd, so that it walks through the blocks' rows
    sample = scores[::stride]
    rank = min(len(sample), max(1, round(count / stride)))
    return float(sample.topk(rank, sorted=False).values.min())
