"""The reading pass of training: blocks read apart, and questions that see some of them.

A block is read right after the start rows and sees these and itself; what enters a layer at its
tokens are the rows of that layer. A question sees the start rows, the rows of its blocks, and
itself. It computes what `model.network.write_pass.layer_inputs` and `model.generation.read_pass` do
where `block_positions` are equal; a test holds them together.

Legend: B packs, n tokens of blocks, m tokens of questions, P start rows, L layers, d hidden size,
H query heads, G key/value heads, e head dim.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from mplus_ray.model.network.decoder import Layer, Network, for_products
from mplus_ray.model.network.rope import rotate
from mplus_ray.model.training.network.passes import attend, through
from mplus_ray.model.training.task import Roles


class Segments(NamedTuple):
    """Pieces of text one behind the other, several packs of them.

    Attributes:
        ids: [B, n] tokens.
        at: [B, n] their positions.
        owners: [B, n] the piece that each belongs to, -1 for padding.
    """

    ids: Tensor
    at: Tensor
    owners: Tensor

    def to(self, device: torch.device) -> Segments:
        """These tensors on a device."""
        return Segments(*(part.to(device, non_blocking=True) for part in self))


class _Places(NamedTuple):
    """What a lane of tokens may look at, and from where.

    Attributes:
        cos, sin: [B, P + … + n, e] of all that is looked at, the lane's own n tokens last.
        bias: [B, 1, n, P + … + n], 0 or -inf.
    """

    cos: Tensor
    sin: Tensor
    bias: Tensor


def read_apart(roles: Roles, blocks: Segments, questions: Segments, sees: Tensor) -> Tensor:
    """Last hidden states [B, m, d] of the questions.

    Args:
        sees: [B, questions, blocks], true where a question sees a block.
    """
    writer, reader = roles
    rows, x = writer.embed(blocks.ids), reader.embed(questions.ids)
    writing = _places(writer, [], blocks, rows)
    reading = _places(
        reader, [(blocks, _seen(questions.owners, blocks.owners, sees))], questions, x
    )
    last = len(reader.layers) - 1
    for number, (write, read) in enumerate(zip(writer.layers, reader.layers, strict=True)):
        start = reader.bos(number).to(x.dtype)
        x = through(read, _advance, start, rows, x, reading)
        if number < last:
            rows = through(write, _advance, start, rows[:, :0], rows, writing)
    return x


def _advance(layer: Layer, start: Tensor, before: Tensor, x: Tensor, places: _Places) -> Tensor:
    """One layer over [start rows [P, d] | before | x]; only x [B, n, d] is computed on."""
    attention, n = layer.self_attn, x.shape[1]
    whole = torch.cat([start.expand(len(x), -1, -1), before, x], dim=1)
    h = for_products(layer.input_layernorm(whole))
    k, v = _turn(attention.keys(h), places.cos, places.sin), attention.values(h)
    q = _turn(attention.queries(h[:, -n:]), places.cos[:, -n:], places.sin[:, -n:])
    return layer.finish(x, attend(q, k, v, places.bias))


def _turn(states: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """[B, n, heads, e] by angles [B, n, e]."""
    turned = rotate(states.flatten(0, 1), cos.flatten(0, 1), sin.flatten(0, 1))
    return turned.view(states.shape)


def _places(
    network: Network, before: list[tuple[Segments, Tensor]], own: Segments, x: Tensor
) -> _Places:
    """Of a lane that sees the start rows, [B, n, …] of the lanes before it, and its own pieces."""
    count, n = own.ids.shape
    first = network.config.first_rows
    start = torch.arange(first, device=x.device).expand(count, -1)
    at = torch.cat([start, *(lane.at for lane, _ in before), own.at], dim=1)
    cos, sin = network.rotary.tables(int(at.max()) + 1, x)
    order = torch.ones(n, n, dtype=torch.bool, device=x.device).tril()
    itself = (own.owners[:, :, None] == own.owners[:, None, :]) & order
    everything = torch.ones(count, n, first, dtype=torch.bool, device=x.device)
    allowed = torch.cat([everything, *(seen for _, seen in before), itself], dim=2)
    bias = torch.zeros(allowed.shape, dtype=_products(x), device=x.device)
    return _Places(cos[at], sin[at], bias.masked_fill_(~allowed, float("-inf"))[:, None])


def _seen(questions: Tensor, blocks: Tensor, sees: Tensor) -> Tensor:
    """[B, m, n] whether each token of the questions sees each token of the blocks."""
    row = questions.clamp_min(0)[:, :, None].expand(-1, -1, sees.shape[2])
    by_block = sees.gather(1, row)  # [B, m, blocks]
    column = blocks.clamp_min(0)[:, None, :].expand(-1, questions.shape[1], -1)
    inside = (questions >= 0)[:, :, None] & (blocks >= 0)[:, None, :]
    return by_block.gather(2, column) & inside


def _products(x: Tensor) -> torch.dtype:
    """What products of x are taken in."""
    return for_products(x[:0]).dtype
