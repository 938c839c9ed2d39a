"""Start a network with the circuit that recall grows from (induction heads, Olsson et al. 2022).

Training from noise spends most of a small budget until this circuit appears. Here the first
layer starts with a head that looks one token back and writes what it saw to a scratch space, the
second with a head that finds where the present token was seen before and copies what followed.
Everything else is random, and all of it is trained.

Legend: d hidden size, e head dim, V vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mplus_ray.model.network.decoder import Network
from mplus_ray.model.network.rope import inverse_frequencies

_SHARE = 4  # one quarter of the hidden size is scratch space
_CONSTANT = 1.0  # size of the direction all embeddings share, against their own
_BACK = 9.0  # sharpness of looking one token back
_MATCH = 4.0  # sharpness of matching tokens
_COPY = 16.0  # strength of what is copied, against the embeddings
_FAR = 0.005  # rotary frequencies below this hardly turn within a chunk


@torch.no_grad()
def plant(network: Network, seed: int) -> None:
    """Overwrite one head of each of the first two layers, and the embeddings."""
    config, generator = network.config, torch.Generator().manual_seed(seed)
    d, e = config.hidden_size, config.head_dim
    scratch = d // _SHARE
    own = d - scratch
    embedding = network.model.embed_tokens.weight
    scale = float(embedding.std())
    constant = torch.cat([torch.randn(own, generator=generator).sign(), torch.zeros(scratch)])
    embedding[:, own:] = 0
    embedding.add_(scale * _CONSTANT * constant)

    angles = inverse_frequencies(config)
    near = (torch.arange(e // 2) < 6).float()
    look = torch.cat([near, torch.zeros(e // 2)])
    back = torch.cat([near * angles.cos(), -near * angles.sin()])
    far = (angles < _FAR).repeat(2)
    width = int(far.sum())
    identity = _orthonormal(own, width, generator).T  # [width, own]
    places = _orthonormal(scratch, width, generator)  # [scratch, width]

    first, second = network.layers[0].self_attn, network.layers[1].self_attn
    strength = _BACK * (1 + _CONSTANT**2) ** 0.5 / _CONSTANT / own
    first.q_proj.weight[:e] = strength * torch.outer(back, constant)
    first.k_proj.weight[:e] = strength * torch.outer(look, constant)
    first.v_proj.weight[:e] = 0
    first.v_proj.weight[:width, :own] = identity
    first.o_proj.weight[:, :e] = 0
    first.o_proj.weight[own:, :width] = 2 * scale * places

    second.q_proj.weight[:e] = 0
    second.k_proj.weight[:e] = 0
    lifted = torch.zeros(e, own)
    lifted[far] = identity
    second.q_proj.weight[:e, :own] = _MATCH * lifted
    seen = torch.zeros(e, scratch)
    seen[far] = places.T
    second.k_proj.weight[:e, own:] = _MATCH * seen
    copied = _orthonormal(own, e, generator).T
    second.v_proj.weight[:e] = 0
    second.v_proj.weight[:e, :own] = copied
    second.o_proj.weight[:, :e] = 0
    second.o_proj.weight[:own, :e] = _COPY * scale * copied.T


@torch.no_grad()
def plant_retriever(network: Network, seed: int) -> None:
    """Start both sides of every layer's retriever alike: like states find each other.

    For a retriever of one linear layer.
    """
    generator = torch.Generator().manual_seed(seed)
    for layer in network.layers:
        (query,) = layer.self_attn.query_proj.parameters()
        (key,) = layer.self_attn.key_proj.parameters()
        same = _orthonormal(key.shape[1], key.shape[0], generator).T
        query.copy_(same)
        key.copy_(same)


def _orthonormal(rows: int, columns: int, generator: torch.Generator) -> Tensor:
    """A random [rows, columns] matrix with orthonormal columns."""
    result: Tensor = torch.linalg.qr(torch.randn(rows, columns, generator=generator))[0]
    return result
