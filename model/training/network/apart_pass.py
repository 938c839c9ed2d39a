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
from mplus_ray.model.training.network.passes import fused_attention, through
from mplus_ray.model.training.network.piece_attention import Piece, attend_pieces, pieces_of
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
    """What a sequence of tokens may look at, and from where.

    Attributes:
        cos, sin: [B, P + … + n, e] of all that is looked at, the sequence's own n tokens last.
        bias: [B, 1, n, P + … + n], 0 or -inf; None where the sequence is attended in pieces.
        pieces: what each piece sees, for CPUs.
    """

    cos: Tensor
    sin: Tensor
    bias: Tensor | None
    pieces: list[Piece]

    def attend(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """[B, n, H, e] over [B, P + … + n, G, e] → [B, n, H, e]."""
        if self.bias is None:
            return attend_pieces(queries, keys, values, self.pieces)
        return fused_attention(queries, keys, values, self.bias)


def read_apart(roles: Roles, blocks: Segments, questions: Segments, sees: Tensor) -> Tensor:
    """Last hidden states [B, m, d] of the questions.

    Args:
        sees: [B, questions, blocks], true where a question sees a block.
    """
    writer, reader = roles
    rows, x = writer.embed(blocks.ids), reader.embed(questions.ids)
    writing = _places(writer, blocks, rows)
    reading = _places(reader, questions, x, blocks, sees)
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
    return layer.finish(x, places.attend(q, k, v))


def _turn(states: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """[B, n, heads, e] by angles [B, n, e]."""
    turned = rotate(states.flatten(0, 1), cos.flatten(0, 1), sin.flatten(0, 1))
    return turned.view(states.shape)


def _places(
    network: Network,
    own: Segments,
    x: Tensor,
    before: Segments | None = None,
    sees: Tensor | None = None,
) -> _Places:
    """What a sequence that sees the start rows is to see: the one before it, and itself."""
    count, first = len(own.ids), network.config.first_rows
    start = torch.arange(first, device=x.device).expand(count, -1)
    parts = [own.at] if before is None else [before.at, own.at]
    at = torch.cat([start, *parts], dim=1)
    cos, sin = (table[at] for table in network.rotary.tables(int(at.max()) + 1, x))
    if x.device.type == "cpu":
        owners = None if before is None else before.owners
        return _Places(cos, sin, None, pieces_of(own.owners, sees, owners, first))
    seen = mask_of(own, before, sees, first)
    bias = torch.zeros(seen.shape, dtype=_products(x), device=x.device)
    return _Places(cos, sin, bias.masked_fill_(~seen, float("-inf"))[:, None], [])


def mask_of(own: Segments, before: Segments | None, sees: Tensor | None, start_rows: int) -> Tensor:
    """[B, n, P + … + n] what each token of a sequence sees: start rows, its blocks, and itself."""
    count, n = own.ids.shape
    device = own.ids.device
    order = torch.ones(n, n, dtype=torch.bool, device=device).tril()
    seen = [torch.ones(count, n, start_rows, dtype=torch.bool, device=device)]
    if before is not None and sees is not None:
        seen.append(_seen(own.owners, before.owners, sees))
    seen.append((own.owners[:, :, None] == own.owners[:, None, :]) & order)
    return torch.cat(seen, dim=2)


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
