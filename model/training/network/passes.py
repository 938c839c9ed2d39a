"""Dense batched passes with gradients, for training on sequences of one length.

They compute what `model.network.write_pass` and `model.generation.read_pass` compute, in the shapes
training needs; a test holds them together. Whatever a layer computes goes through its module's call
(`through`).

Legend: B sequences, n tokens, K rows a block, L layers, d hidden size, H query heads,
G key/value heads, e head dim, s retriever key width.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from mplus_ray.model.network.decoder import Layer, Network, for_products
from mplus_ray.model.network.rope import Rotary


def through(layer: Layer, step: Callable[..., Any], *inputs: Any) -> Any:
    """`step(layer, *inputs)`; a layer that recomputes keeps only the inputs for the gradients."""
    if layer.recompute and torch.is_grad_enabled():
        return layer(_recomputed, step, *inputs)
    return layer(step, *inputs)


def _recomputed(layer: Layer, step: Callable[..., Any], *inputs: Any) -> Any:
    return checkpoint(step, layer, *inputs, use_reentrant=False, preserve_rng_state=False)


def attend(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """[B, n, H, e] over [B, m, G, e], causal from the end, m ≥ n → [B, n, H, e]."""
    # The fused kernel's gradients take three times as long on a CPU as these two products.
    if queries.device.type == "cpu":
        return plain_attention(queries, keys, values)
    return fused_attention(queries, keys, values)


def plain_attention(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """What `attend` computes, by two products with all scores in memory."""
    (count, n, heads, e), (m, groups) = queries.shape, keys.shape[1:3]
    q = (queries * e**-0.5).transpose(1, 2).reshape(count, groups, -1, e)
    k, v = keys.permute(0, 2, 3, 1), values.transpose(1, 2)
    scores = (q @ k).view(count, heads, n, m)
    seen = torch.ones(n, m, dtype=torch.bool, device=q.device).tril(m - n)
    scores = scores.masked_fill(~seen, float("-inf"))
    weights = scores.softmax(-1).to(v.dtype).view(count, groups, -1, m)
    return (weights @ v).view(count, heads, n, e).transpose(1, 2)


def fused_attention(
    queries: Tensor, keys: Tensor, values: Tensor, bias: Tensor | None = None
) -> Tensor:
    """Attention by PyTorch's kernels, [B, n, H, e] over [B, m, G, e] → [B, n, H, e].

    Args:
        bias: [B, 1, n, m], added to the scores; None: causal from the end, m ≥ n.
    """
    from torch.nn.attention.bias import causal_lower_right  # brings torch's compiler with it

    # The flash kernel takes no mask, so causal from the end is said in words; nor does it cast what
    # a norm has left in float32.
    q, k, v = (x.to(values.dtype).transpose(1, 2) for x in (queries, keys, values))
    mask: Any = causal_lower_right(queries.shape[1], keys.shape[1])
    if bias is not None:
        mask = bias.to(q.dtype)
    k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], dim=1) for x in (k, v))
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2)


def advance(network: Network, layer: Layer, prefix: Tensor, x: Tensor) -> Tensor:
    """One layer over [prefix | x]; only x [B, n, d] is computed on."""
    result: Tensor = through(layer, _advance, network.rotary, prefix.to(x.dtype), x)
    return result


def _advance(layer: Layer, rotary: Rotary, prefix: Tensor, x: Tensor) -> Tensor:
    attention, p = layer.self_attn, prefix.shape[1]
    h = for_products(layer.input_layernorm(torch.cat([prefix, x], dim=1)))
    k, v = attention.keys(h), attention.values(h)
    q = rotary.rotate(attention.queries(h[:, p:]), p)
    return layer.finish(x, attend(q, rotary.rotate(k, 0), v))


def language(network: Network, ids: Tensor) -> Tensor:
    """Token ids [B, n] → last hidden states [B, n, d], each sequence after its bos rows."""
    x = network.embed(ids)
    for number, layer in enumerate(network.layers):
        x = advance(network, layer, network.bos(number).expand(len(ids), -1, -1), x)
    return x


def question_queries(network: Network, ids: Tensor) -> list[Tensor]:
    """Retriever queries of questions [B, n] read without memory: L × [B, n, s]."""
    x, queries = network.embed(ids), []
    for number, layer in enumerate(network.layers):
        queries.append(through(layer, _queries, x))
        if number < len(network.layers) - 1:
            x = advance(network, layer, network.bos(number).expand(len(ids), -1, -1), x)
    return queries


def _queries(layer: Layer, x: Tensor) -> Tensor:
    result: Tensor = layer.self_attn.query_proj(layer.input_layernorm(x))
    return result


def block_keys(network: Network, blocks: Tensor) -> list[Tensor]:
    """Retriever keys of blocks [B, L, K, d]: L × [B, K, s]."""
    return [
        through(layer, _keys, rows)
        for layer, rows in zip(network.layers, blocks.unbind(1), strict=True)
    ]


def _keys(layer: Layer, rows: Tensor) -> Tensor:
    result: Tensor = layer.self_attn.key_proj(layer.input_layernorm(rows))
    return result


def write(network: Network, ids: Tensor, previous: Tensor | None) -> Tensor:
    """Chunks [B, n] after blocks [B, L, K, d] (None: an empty memory) → blocks [B, L, K, d]."""
    size, (count, n) = network.config.num_tokens, ids.shape
    borrowed = max(0, size - n)
    x, rows = network.embed(ids), []
    place = network.new_memory_positional_emb.to(x.dtype)
    # Taken apart at once: the gradient of each slice by itself would be of the whole size.
    before = None if previous is None else previous.to(x.dtype).unbind(1)
    for number, layer in enumerate(network.layers):
        prefix = network.bos(number).to(x.dtype).expand(count, -1, -1)
        lent = network.stand_in(number).to(x.dtype).expand(count, borrowed, -1)
        if before is not None:
            block = before[number]
            prefix = torch.cat([prefix, block[:, : size - borrowed]], dim=1)
            lent = block[:, size - borrowed :]
        asked = torch.cat([lent, x], dim=1)
        tail = asked[:, -size:] + place
        out = advance(network, layer, prefix, torch.cat([asked[:, :-size], tail], dim=1))
        rows.append(out[:, -size:])
        x = out[:, -n:]
    return torch.stack(rows, dim=1)
