"""New tokens of many sequences through all layers, each attending to its memory and to itself.

At every layer a sequence is [bos | retrieved rows | pool | own tokens]. The memory parts are
attended without a mask and joined by their softmax denominators, so that sequences of one
memory share its pool without a copy.

Legend: B sequences, n new tokens of a sequence, T tokens of all, d hidden size, H query heads,
G key/value heads, e head dim, s retriever key width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby

import torch
from torch import Tensor

from mplus_ray.model.generation.reading import Reading
from mplus_ray.model.network.attention import attend_part, fold_heads, join_parts, unfold_heads
from mplus_ray.model.network.decoder import Network
from mplus_ray.model.network.rope import rotate

# Called with (reading, layer, retriever queries [n, s]) before a layer attends.
Retrieve = Callable[[Reading, int, Tensor], None]


def forward(
    network: Network,
    readings: Sequence[Reading],
    tokens: Sequence[Tensor],
    whole: bool,
    retrieve: Retrieve | None,
) -> list[Tensor]:
    """New tokens [n] of each reading through all layers → logits [n or 1, vocab] of each.

    All sequences' tokens stand below one another in one matrix; only attention tells them apart.
    """
    counts = [len(ids) for ids in tokens]
    x = network.embed(torch.cat(list(tokens)))
    cos, sin = _angles(network, readings, counts, x)
    last = len(network.layers) - 1
    for index, layer in enumerate(network.layers):
        attention = layer.self_attn
        h = layer.input_layernorm(x)
        if retrieve is not None:
            queries = attention.query_proj(h).split(counts)
            for reading, asked in zip(readings, queries, strict=True):
                retrieve(reading, index, asked)
        keys = rotate(attention.keys(h), cos, sin).split(counts)
        values = attention.values(h).split(counts)
        for reading, k, v in zip(readings, keys, values, strict=True):
            reading.see(index, k, v)
        if index == last and not whole:  # from here on only the last token of each matters
            ends = torch.tensor(counts, device=x.device).cumsum(0) - 1
            x, h, cos, sin = x[ends], h[ends], cos[ends], sin[ends]
            counts = [1] * len(counts)
        q = rotate(attention.queries(h), cos, sin).split(counts)
        x = layer.finish(x, _attend(readings, index, q, network.config.sliding_window))
    for reading, ids in zip(readings, tokens, strict=True):
        reading.length += len(ids)
    return list(network.logits(x).split(counts))


def _attend(
    readings: Sequence[Reading], layer: int, queries: Sequence[Tensor], window: int | None
) -> Tensor:
    """Attention of each reading's newest tokens, queries [n, H, e] each → [T, H, e]."""
    outputs: list[Tensor] = []
    for _, pairs in groupby(zip(readings, queries, strict=True), key=lambda pair: id(pair[0].view)):
        outputs += _attend_view(list(pairs), layer, window)
    return torch.cat(outputs)


def _attend_view(
    pairs: list[tuple[Reading, Tensor]], layer: int, window: int | None
) -> list[Tensor]:
    """Readings of one view: their pool is attended once for all of them."""
    view = pairs[0][0].view
    pool_k, pool_v = view.pool[layer]
    groups = pool_k.shape[0]
    folded = [fold_heads(q, groups) for _, q in pairs]
    parts: list[list[tuple[Tensor, Tensor]]] = [[] for _ in pairs]
    if pool_k.shape[1]:
        out, lse = attend_part(torch.cat(folded, dim=1), pool_k, pool_v)
        sizes = [q.shape[1] for q in folded]
        for mine, o, z in zip(parts, out.split(sizes, 1), lse.split(sizes, 1), strict=True):
            mine.append((o, z))
    outputs = []
    for (reading, q), rows, mine in zip(pairs, folded, parts, strict=True):
        k, v = reading.fetched[layer]
        if k.shape[1]:
            mine.append(attend_part(rows, k, v))
        mine.append(_attend_own(reading, layer, q, window))
        outputs.append(unfold_heads(join_parts(mine), q.shape[0]))
    return outputs


def _attend_own(
    reading: Reading, layer: int, q: Tensor, window: int | None
) -> tuple[Tensor, Tensor]:
    """The newest n own tokens over all own tokens, as a part with folded heads."""
    k, v = reading.own[layer]
    groups, seen, _ = k.shape
    if q.shape[0] == 1:
        first = 0 if window is None else max(0, seen - window)
        return attend_part(fold_heads(q, groups), k[:, first:], v[:, first:])
    repeat = q.shape[1] // groups
    out, lse = attend_part(
        q.transpose(0, 1),
        k.repeat_interleave(repeat, 0),
        v.repeat_interleave(repeat, 0),
        causal=True,
        window=window,
    )
    return out.reshape(groups, -1, q.shape[2]), lse.reshape(groups, -1)


def _angles(
    network: Network, readings: Sequence[Reading], counts: Sequence[int], x: Tensor
) -> tuple[Tensor, Tensor]:
    """Cosines and sines [T, e] at the position of every new token."""
    starts = [reading.own_start + reading.length for reading in readings]
    positions = torch.cat(
        [torch.arange(s, s + n, device=x.device) for s, n in zip(starts, counts, strict=True)]
    )
    cos, sin = network.rotary.tables(max(s + n for s, n in zip(starts, counts, strict=True)), x)
    return cos[positions], sin[positions]
