"""Hidden memory rows → what is stored of them: un-rotated keys and values, and retriever keys."""

from __future__ import annotations

import torch
from torch import Tensor

from mplus_ray.model.network.decoder import Network
from mplus_ray.model.network.write_pass import rowwise
from mplus_ray.model.store.row_format import RowBlock


def encode_rows(reader: Network, hidden: list[Tensor]) -> list[RowBlock]:
    """Project rows with the read role's weights.

    Args:
        reader: the network of the read role; only its norms and k/v/key projections are used.
        hidden: blocks of hidden rows [L, R, d].

    Returns:
        One `RowBlock` a block; bit for bit the same whatever the batch.
    """
    per_layer: list[list[tuple[Tensor, Tensor]]] = []
    for index, layer in enumerate(reader.layers):
        attention = layer.self_attn
        normed = rowwise(layer.input_layernorm, [block[None, index] for block in hidden])
        kv = zip(rowwise(attention.keys, normed), rowwise(attention.values, normed), strict=True)
        stacked = [torch.stack([k[0], v[0]], dim=1) for k, v in kv]
        if reader.config.has_retriever:
            keys = [key[0] for key in rowwise(attention.key_proj, normed)]
        else:
            keys = [block.new_empty(block.shape[1], 0) for block in hidden]
        per_layer.append(list(zip(stacked, keys, strict=True)))
    return [
        RowBlock(
            torch.stack([rows[i][0] for rows in per_layer]),
            torch.stack([rows[i][1] for rows in per_layer]),
        )
        for i in range(len(hidden))
    ]
