"""The read pass of training: many questions over one shared memory and a few rows of their own.

Every question of a step sees the same detached rows (the distractors), which are projected and
attended once; its own document's rows come on top, projected once for all that is asked about it.
All rows carry explicit positions.

Legend: Q questions, D documents, n prompt tokens, S shared rows, F own rows, L layers,
d hidden size, H query heads, G key/value heads, e head dim, s retriever key width.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from mplus_ray.model.network.decoder import Layer, Network, for_products
from mplus_ray.model.network.rope import rotate
from mplus_ray.model.training.network.passes import through


@dataclass
class Surroundings:
    """What a batch of questions reads beside the prompt.

    Attributes:
        shared: per layer, detached rows [S_l, d] that all questions see.
        shared_at: per layer, their positions [S_l].
        own: [D, L, F, d], the rows of each document.
        owners: [Q] the document of each question.
        own_at: [L, F] their positions; -1 leaves a row out.
        start: position of the first prompt token.
    """

    shared: list[Tensor]
    shared_at: list[Tensor]
    own: Tensor
    owners: Tensor
    own_at: Tensor
    start: int


def read(network: Network, ids: Tensor, around: Surroundings) -> Tensor:
    """Prompts [Q, n] → last hidden states [Q, n, d]."""
    x = network.embed(ids)
    for number, (layer, own) in enumerate(_by_layer(network, around)):
        x = through(layer, _read, network, number, x, own.to(x.dtype), around)
    return x


def read_asking(network: Network, ids: Tensor, around: Surroundings) -> tuple[Tensor, list[Tensor]]:
    """The hidden states, and L × [Q, n, s]: what each layer's retriever asks for on the way.

    The retriever looks at the states and does not move them (the official `detach_hidden_state`).
    """
    x, queries = network.embed(ids), []
    for number, (layer, own) in enumerate(_by_layer(network, around)):
        queries.append(through(layer, _query, x))
        x = through(layer, _read, network, number, x, own.to(x.dtype), around)
    return x, queries


def _query(layer: Layer, x: Tensor) -> Tensor:
    result: Tensor = layer.self_attn.query_proj(layer.input_layernorm(x).detach())
    return result


def _by_layer(network: Network, around: Surroundings) -> Iterator[tuple[Layer, Tensor]]:
    """Layers with their own rows [D, F, d], taken apart at once: the gradient of each slice by
    itself would be a tensor of the whole size."""
    return zip(network.layers, around.own.unbind(1), strict=True)


def _read(
    layer: Layer, network: Network, number: int, x: Tensor, own: Tensor, around: Surroundings
) -> Tensor:
    """One layer over [shared | own | prompt]: [Q, n, d] and own rows [D, F, d] → [Q, n, d]."""
    attention, (count, n, _) = layer.self_attn, x.shape
    bos = network.bos(number).to(x.dtype)
    at = around.own_at[number]
    h = for_products(layer.input_layernorm(x))
    common = torch.cat([bos, around.shared[number].to(x.dtype)])
    common = for_products(layer.input_layernorm(common))
    common_at = torch.cat([at.new_zeros(len(bos)), around.shared_at[number]])
    own = for_products(layer.input_layernorm(own))
    prompt_at = torch.arange(around.start, around.start + n, device=x.device)
    cos, sin = network.rotary.tables(around.start + n, x)

    def turn(states: Tensor, positions: Tensor) -> Tensor:
        return rotate(states, cos[positions], sin[positions])

    groups = network.config.num_key_value_heads
    q = turn(attention.queries(h), prompt_at)
    q = q.view(count, n, groups, -1, q.shape[-1]) * q.shape[-1] ** -0.5
    common_k, common_v = turn(attention.keys(common), common_at), attention.values(common)
    own_k, own_v = turn(attention.keys(own), at.clamp_min(0)), attention.values(own)
    mine_k = torch.cat([own_k[around.owners], turn(attention.keys(h), prompt_at)], dim=1)
    mine_v = torch.cat([own_v[around.owners], attention.values(h)], dim=1)

    to_common = torch.einsum("qngre,sge->qgrns", q, common_k)
    to_mine = torch.einsum("qngre,qsge->qgrns", q, mine_k)
    hidden = torch.ones(n, n, dtype=torch.bool, device=x.device).triu(1)
    hidden = torch.cat([(at < 0).expand(n, -1), hidden], dim=1)
    to_mine = to_mine.masked_fill(hidden, float("-inf"))
    weights = torch.cat([to_common, to_mine], dim=-1).softmax(-1).to(common_v.dtype)
    size = len(common)
    out = torch.einsum("qgrns,sge->qngre", weights[..., :size], common_v)
    out = out + torch.einsum("qgrns,qsge->qngre", weights[..., size:], mine_v)
    return layer.finish(x, out.reshape(count, n, -1, network.config.head_dim))
