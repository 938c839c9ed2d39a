"""Every kernel and shape computes softmax(q·k/√e)·v over what a position may see."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mplus_ray.model.network.attention import (
    attend,
    attend_part,
    fold_heads,
    join_parts,
    unfold_heads,
)

shapes = {
    "n": st.integers(1, 9),
    "before": st.integers(0, 9),
    "groups": st.sampled_from([1, 2, 4]),
    "heads": st.sampled_from([1, 2]),
    "window": st.one_of(st.none(), st.integers(1, 10)),
}


def tensors(n, total, groups, heads, e=8, batch=2):
    generator = torch.Generator().manual_seed(n * 1000 + total)
    q = torch.randn(batch, n, groups * heads, e, generator=generator)
    k, v = torch.randn(2, batch, total, groups, e, generator=generator)
    return q, k, v


def plainly(q, k, v, window=None):
    """One number after the other."""
    batch, n, all_heads, e = q.shape
    total, groups = k.shape[1:3]
    out = torch.zeros_like(q)
    for b in range(batch):
        for i in range(n):
            own = total - n
            seen = [
                j for j in range(own + i + 1) if j < own or window is None or own + i - j < window
            ]
            for h in range(all_heads):
                g = h // (all_heads // groups)
                scores = torch.stack([q[b, i, h] @ k[b, j, g] for j in seen]) / math.sqrt(e)
                out[b, i, h] = scores.softmax(0) @ v[b, seen, g]
    return out


@settings(max_examples=40, deadline=None)
@given(**shapes)
def test_attend(n, before, groups, heads, window):
    q, k, v = tensors(n, before + n, groups, heads)
    assert torch.allclose(attend(q, k, v, window), plainly(q, k, v, window), atol=1e-5)


def test_attend_in_blocks_of_queries():
    """Longer than the block in which the CPU takes queries."""
    q, k, v = tensors(600, 640, 2, 2, batch=1)
    seen = torch.ones(600, 640, dtype=torch.bool).tril(40)
    scores = torch.einsum("bnhe,bshe->bhns", q, k.repeat_interleave(2, 2)) / math.sqrt(8)
    weights = scores.masked_fill(~seen, -math.inf).softmax(-1)
    expected = torch.einsum("bhns,bshe->bnhe", weights, v.repeat_interleave(2, 2))
    assert torch.allclose(attend(q, k, v), expected, atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(cuts=st.lists(st.integers(1, 29), max_size=4, unique=True), n=st.integers(1, 5))
def test_joined_parts_are_the_whole(cuts, n):
    q, k, v = (t[0] for t in tensors(n, 30, 2, 3))
    rows = fold_heads(q, 2)
    k, v = k.transpose(0, 1), v.transpose(0, 1)
    edges = [0, *sorted(cuts), 30]
    parts = [
        attend_part(rows, k[:, a:b].contiguous(), v[:, a:b].contiguous())
        for a, b in pairwise(edges)
    ]
    whole, _ = attend_part(rows, k, v)
    assert torch.allclose(join_parts(parts), whole, atol=1e-6)
    scores = rows @ k.transpose(1, 2) / math.sqrt(8)
    assert torch.allclose(whole, scores.softmax(-1) @ v, atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(n=st.integers(1, 12), window=st.one_of(st.none(), st.integers(1, 14)))
def test_a_causal_part(n, window):
    q, k, v = tensors(n, n, 3, 1, batch=1)
    out, lse = attend_part(
        q[0].transpose(0, 1), k[0].transpose(0, 1), v[0].transpose(0, 1), True, window
    )
    assert torch.allclose(out.transpose(0, 1), plainly(q, k, v, window)[0], atol=1e-5)
    assert lse.shape == (3, n)
    assert lse.dtype == torch.float32


def test_parts_far_apart_in_size_do_not_overflow():
    q = torch.full((1, 1, 8), 30.0)
    v = torch.ones(1, 2, 8)
    parts = [attend_part(q, torch.full((1, 2, 8), sign * 30.0), v * sign) for sign in (1, -1)]
    assert torch.allclose(join_parts(parts), torch.ones(1, 1, 8))


def test_folding_and_unfolding():
    q = torch.arange(5 * 6 * 4).float().view(5, 6, 4)
    folded = fold_heads(q, 2)
    assert folded.shape == (2, 15, 4)
    assert torch.equal(unfold_heads(folded, 5), q)
    assert torch.equal(folded[1, 0], q[0, 3]), "a group's heads are neighbours"


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(dtype):
    q, k, v = tensors(5, 12, 2, 2)
    out = attend(q.to(dtype), k.to(dtype), v.to(dtype))
    assert out.dtype == dtype
    assert torch.allclose(out.float(), plainly(q, k, v), atol=0.05)
