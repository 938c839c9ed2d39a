"""The write pass: text chunks of many tenants become memory rows (M+, section 3.1).

At every layer a chunk's sequence is [bos | previous block | chunk]; its new rows are the
layer's output at the last K positions. Only the chunk's positions are queries; a chunk shorter
than K borrows the last rows of the previous block, so that a step always yields K rows.

Legend: B chunks, n tokens of a chunk, K rows a block, L layers, d hidden size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from mplus_ray.model.network.attention import attend
from mplus_ray.model.network.decoder import Layer, Network

# A matrix product of few rows may take another kernel and round otherwise. In multiples of
# this many, a row's result does not depend on how many others share the product.
_ROW_MULTIPLE = 16


@dataclass
class _Group:
    """Chunks of one shape: all B of them have n tokens and as many rows before them."""

    members: list[int]
    previous: Tensor | None  # [B, L, K, d]
    x: Tensor  # [B, n, d], the chunks' hidden states on their way up
    rows: list[Tensor]  # per layer [B, K, d], the result

    def sequence(self, network: Network, index: int) -> tuple[Tensor, Tensor]:
        """([B, p, d] rows that are only attended, [B, max(n, K), d] positions that are queries)."""
        count, n, _ = self.x.shape
        size = network.config.num_tokens
        bos = network.bos(index).expand(count, -1, -1)
        borrowed = max(0, size - n)
        if self.previous is not None:
            block = self.previous[:, index]
            before, lent = block[:, : size - borrowed], block[:, size - borrowed :]
        else:  # nothing to borrow from yet: the layer's start row stands in
            before = self.x.new_empty(count, 0, self.x.shape[2])
            lent = network.stand_in(index).expand(count, borrowed, -1)
        queries = torch.cat([lent, self.x], dim=1)
        tail = queries[:, -size:] + network.new_memory_positional_emb
        return torch.cat([bos, before], dim=1), torch.cat([queries[:, :-size], tail], dim=1)


def write(
    network: Network, chunks: Sequence[Tensor], previous: Sequence[Tensor | None]
) -> list[Tensor]:
    """Memorize one chunk of each of B tenants in one forward pass.

    Args:
        network: the weights of the write role.
        chunks: token ids [n], n ≥ 1, on the network's device.
        previous: each tenant's last block of hidden rows [L, K, d]; None for an empty memory.

    Returns:
        B new blocks of hidden rows, [L, K, d] each; bit for bit the same whatever the batch.
    """
    groups = _group(network, chunks, previous)
    last = network.config.num_hidden_layers - 1
    for index, layer in enumerate(network.layers):
        _advance(network, layer, index, groups, rows_only=index == last)
    blocks: list[Tensor | None] = [None] * len(chunks)
    for group in groups:
        stacked = torch.stack(group.rows, dim=1)  # [B, L, K, d]
        for member, block in zip(group.members, stacked, strict=True):
            blocks[member] = block
    return [block for block in blocks if block is not None]


def layer_inputs(network: Network, chunks: Sequence[Tensor]) -> list[Tensor]:
    """What enters each layer at every token of a chunk, read right after the start rows.

    It is what MemLong (arXiv 2408.16967) and LongMem (2306.07174) keep: read alone after the same
    start rows, a block of such rows is exactly the chunk in the prompt.

    Args:
        network: the weights of the write role.
        chunks: token ids [n] of B chunks, n ≥ 1, on the network's device.

    Returns:
        B blocks of hidden rows, [L, n, d] each; bit for bit the same whatever the batch.
    """
    groups = _group(network, chunks, [None] * len(chunks))
    last = network.config.num_hidden_layers - 1
    for index, layer in enumerate(network.layers):
        for group in groups:
            group.rows.append(group.x)
        if index < last:
            _read_on(network, layer, index, groups)
    blocks: dict[int, Tensor] = {}
    for group in groups:
        blocks |= zip(group.members, torch.stack(group.rows, dim=1), strict=True)
    return [blocks[member] for member in range(len(chunks))]


def _read_on(network: Network, layer: Layer, index: int, groups: list[_Group]) -> None:
    """One layer over [start rows | chunk], of which the chunk is computed on."""
    starts = [network.bos(index).expand(len(group.x), -1, -1) for group in groups]
    whole = [
        torch.cat([start, group.x], dim=1) for start, group in zip(starts, groups, strict=True)
    ]
    normed = rowwise(layer.input_layernorm, whole)
    own = [h[:, -group.x.shape[1] :] for h, group in zip(normed, groups, strict=True)]
    attended = _attended(network, layer, normed, own)
    outputs = rowwise(layer.finish, [group.x for group in groups], attended)
    for group, output in zip(groups, outputs, strict=True):
        group.x = output


def _attended(
    network: Network, layer: Layer, normed: Sequence[Tensor], asking: Sequence[Tensor]
) -> list[Tensor]:
    """Attention of each group's last positions [B, n, d] over all it has, [B, p + n, d]."""
    attention = layer.self_attn
    keys, values = rowwise(attention.keys, normed), rowwise(attention.values, normed)
    queries = rowwise(attention.queries, asking)
    return [
        attend(network.rotary.rotate(q, k.shape[1] - q.shape[1]), network.rotary.rotate(k, 0), v)
        for q, k, v in zip(queries, keys, values, strict=True)
    ]


def _group(
    network: Network, chunks: Sequence[Tensor], previous: Sequence[Tensor | None]
) -> list[_Group]:
    shapes: dict[tuple[int, bool], list[int]] = {}
    for member, (ids, block) in enumerate(zip(chunks, previous, strict=True)):
        shapes.setdefault((len(ids), block is None), []).append(member)
    groups = []
    for (_, empty), members in shapes.items():
        blocks = [] if empty else [b for m in members if (b := previous[m]) is not None]
        ids = torch.stack([chunks[m] for m in members])
        before = torch.stack(blocks) if blocks else None
        groups.append(_Group(members, before, network.embed(ids), []))
    return groups


def _advance(
    network: Network, layer: Layer, index: int, groups: list[_Group], rows_only: bool
) -> None:
    """One layer. In the last one only the K row positions have anybody to be computed for."""
    size = network.config.num_tokens
    sequences = [group.sequence(network, index) for group in groups]
    whole = [torch.cat(parts, dim=1) for parts in sequences]
    residuals = [queries[:, -size:] if rows_only else queries for _, queries in sequences]
    normed = rowwise(layer.input_layernorm, whole)
    asking = [h[:, -r.shape[1] :] for h, r in zip(normed, residuals, strict=True)]
    attended = _attended(network, layer, normed, asking)
    outputs = rowwise(layer.finish, residuals, attended)
    for group, output in zip(groups, outputs, strict=True):
        group.rows.append(output[:, -size:])
        group.x = output[:, -group.x.shape[1] :]


def rowwise(function: Callable[..., Tensor], *operands: Sequence[Tensor]) -> list[Tensor]:
    """Apply a function of independent rows to many [B, n, …] tensors as one matrix.

    Each operand is a list over groups; row i of the result depends on row i of the operands.
    """
    shapes = [tensor.shape[:2] for tensor in operands[0]]
    counts = [rows * columns for rows, columns in shapes]
    padding = -sum(counts) % _ROW_MULTIPLE
    packed = []
    for operand in operands:
        flat = [tensor.flatten(0, 1) for tensor in operand]
        matrix = flat[0] if len(flat) == 1 else torch.cat(flat)
        if padding:
            matrix = F.pad(matrix, (0, 0) * (matrix.dim() - 1) + (0, padding))
        packed.append(matrix)
    result = function(*packed)
    parts = result[: sum(counts)].split(counts)
    return [part.unflatten(0, shape) for part, shape in zip(parts, shapes, strict=True)]
