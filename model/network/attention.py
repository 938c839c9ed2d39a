"""Causal attention over [memory | own tokens], whatever kernel the device has.

Legend: B sequences, n new tokens, S = P + n attended positions, H query heads,
G key/value heads, e head dim.
"""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

# On the CPU the masked upper triangle is computed and thrown away; in blocks, less of it is.
_CPU_QUERY_BLOCK = 256


def attend(q: Tensor, k: Tensor, v: Tensor, window: int | None = None) -> Tensor:
    """The last n of S positions attend to everything up to themselves.

    Args:
        q: rotated queries [B, n, H, e].
        k: rotated keys [B, S, G, e]; v: values [B, S, G, e].
        window: if given, an own token sees at most that many own tokens, itself included;
            the P positions before them are memory and always seen.

    Returns:
        [B, n, H, e].
    """
    q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
    n, total = q.shape[2], k.shape[2]
    if window is not None and n > window:
        mask = _window_mask(n, total, window, q.device)
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=True)
    elif n == 1:
        out = _attend_one(q, k, v)
    elif q.device.type == "cpu":
        out = _attend_blocked(q, k, v)
    else:
        out = _attend_in_parts(q, k, v)
    return out.transpose(1, 2)


def _attend_one(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """One query sees everything: its heads become the rows of one unmasked product per group."""
    batch, heads, _, e = q.shape
    grouped = q.reshape(batch, k.shape[1], -1, e)
    return F.scaled_dot_product_attention(grouped, k, v).reshape(batch, heads, 1, e)


def _attend_blocked(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    n, prefix = q.shape[2], k.shape[2] - q.shape[2]
    outs = []
    for start in range(0, n, _CPU_QUERY_BLOCK):
        end = min(n, start + _CPU_QUERY_BLOCK)
        seen = prefix + end
        mask = _causal_mask(end - start, seen, prefix + start, q.dtype)
        outs.append(
            F.scaled_dot_product_attention(
                q[:, :, start:end], k[:, :, :seen], v[:, :, :seen], attn_mask=mask, enable_gqa=True
            )
        )
    return outs[0] if len(outs) == 1 else torch.cat(outs, dim=2)


def _attend_in_parts(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """What lies before the queries without a mask, and a causal square: both are flash kernels.

    Heads of all sequences stand side by side; those that share keys are rows of one product.
    """
    batch, heads, n, e = q.shape
    groups, prefix = k.shape[1], k.shape[2] - n
    repeat = heads // groups
    own_k, own_v = (t[:, :, prefix:].repeat_interleave(repeat, 1).flatten(0, 1) for t in (k, v))
    out, lse = attend_part(q.flatten(0, 1), own_k, own_v, causal=True)
    parts = [(out.reshape(batch * groups, -1, e), lse.reshape(batch * groups, -1))]
    if prefix:
        folded = q.reshape(batch * groups, repeat * n, e)
        before_k, before_v = (t[:, :, :prefix].flatten(0, 1) for t in (k, v))
        parts.append(attend_part(folded, before_k, before_v))
    return join_parts(parts).reshape(batch, heads, n, e)


@lru_cache(maxsize=64)
def _causal_mask(rows: int, seen: int, diagonal: int, dtype: torch.dtype) -> Tensor:
    """Additive, 0 or -inf; every layer asks for the same few."""
    allowed = torch.ones(rows, seen, dtype=torch.bool).tril(diagonal)
    return torch.zeros(rows, seen, dtype=dtype).masked_fill_(~allowed, float("-inf"))


def _window_mask(n: int, total: int, window: int, device: torch.device) -> Tensor:
    prefix = total - n
    own = torch.ones(n, n, dtype=torch.bool, device=device).tril().triu(1 - window)
    return torch.cat([own.new_ones(n, prefix), own], dim=1)


def attend_part(
    q: Tensor, k: Tensor, v: Tensor, causal: bool = False, window: int | None = None
) -> tuple[Tensor, Tensor]:
    """Attention over one part of a sequence, with what is needed to join it to other parts.

    Args:
        q: rotated queries [G, r, e]; with grouped heads, r = (H / G) · n.
        k, v: keys and values [G, S, e], S ≥ 1.
        causal: query i sees keys 0 … i only (r = S).
        window: with causal, query i sees at most the last `window` of them.

    Returns:
        Output [G, r, e] and the log of the softmax's denominator [G, r] in float32.
    """
    if window is not None and window < k.shape[1]:
        return _attend_part_plain(q, k, v, causal, window)
    if q.device.type == "cpu":
        out, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
            q[None], k[None], v[None], 0.0, causal
        )
        return out[0], lse[0]
    if q.device.type == "cuda" and q.dtype in (torch.float16, torch.bfloat16):
        out, lse = torch.ops.aten._scaled_dot_product_flash_attention(
            q[None], k[None], v[None], 0.0, causal
        )[:2]
        return out[0], lse[0, :, : q.shape[1]]
    return _attend_part_plain(q, k, v, causal, None)


def _attend_part_plain(
    q: Tensor, k: Tensor, v: Tensor, causal: bool, window: int | None
) -> tuple[Tensor, Tensor]:
    """Attend to a part in elementary operations, for what no flash kernel covers."""
    scores = (q @ k.transpose(1, 2)).float() * q.shape[-1] ** -0.5
    if causal:
        seen = torch.ones(scores.shape[1:], dtype=torch.bool, device=q.device).tril()
        if window is not None:
            seen = seen.triu(1 - window)
        scores = scores.masked_fill(~seen, float("-inf"))
    lse = scores.logsumexp(-1)
    weights = (scores - lse[..., None]).exp()
    return weights.to(v.dtype) @ v, lse


def join_parts(parts: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Join attention outputs over disjoint keys: [G, r, e] each, with [G, r] denominators."""
    if len(parts) == 1:
        return parts[0][0]
    lse = torch.stack([part[1] for part in parts])
    weights = (lse - lse.logsumexp(0)).exp()[..., None]
    out = parts[0][0] * weights[0]
    for (part, _), weight in zip(parts[1:], weights[1:], strict=True):
        out = out + part * weight
    return out.to(parts[0][0].dtype)


def fold_heads(q: Tensor, groups: int) -> Tensor:
    """Queries [n, H, e] → [G, (H / G) · n, e]: heads that share keys become rows of one product."""
    return q.transpose(0, 1).reshape(groups, -1, q.shape[2])


def unfold_heads(out: Tensor, n: int) -> Tensor:
    """The inverse of `fold_heads`: [G, (H / G) · n, e] → [n, H, e]."""
    return out.reshape(-1, n, out.shape[2]).transpose(0, 1)
