"""What enters each layer of a network that reads without a memory.

Legend: n tokens, d hidden size.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mplus_ray.model.network.attention import attend
from mplus_ray.model.network.decoder import Network
from mplus_ray.model.network.rope import rotate


@torch.no_grad()
def hidden_states_alone(network: Network, ids: Tensor) -> list[Tensor]:
    """What enters each layer when these tokens [n] are read with no memory and no bos: [n, d]."""
    x = network.embed(ids)
    cos, sin = network.rotary.tables(len(ids), x)
    states = []
    for layer in network.layers:
        states.append(x)
        h = layer.input_layernorm(x)
        q, k = (
            rotate(part, cos[: len(ids)], sin[: len(ids)])
            for part in (layer.self_attn.queries(h), layer.self_attn.keys(h))
        )
        x = layer.finish(x, attend(q[None], k[None], layer.self_attn.values(h)[None])[0])
    return states
