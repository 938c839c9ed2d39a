"""Attention of many short pieces over few keys each, for training on CPUs.

Attention with a mask computes every score and then hides most of them: where blocks are read apart,
four of five. Here a piece is multiplied with the keys that it sees and no others, in the precision
of its inputs, and its attention weights are all that is kept for the gradients.

Legend: B packs, n tokens of a sequence, m keys, H query heads, G key/value heads, w = H / G, e head
dim; i tokens of a piece, j keys that it sees.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Piece(NamedTuple):
    """Tokens that stand together, and what all of them see.

    Attributes:
        pack: number of the pack.
        own: from and to, among the tokens of the sequence.
        sees: runs of keys, from and to; the last is the piece itself, and is seen causally.
    """

    pack: int
    own: tuple[int, int]
    sees: tuple[tuple[int, int], ...]


def attend_pieces(queries: Tensor, keys: Tensor, values: Tensor, pieces: Sequence[Piece]) -> Tensor:
    """[B, n, H, e] over [B, m, G, e] → [B, n, H, e]; tokens that are in no piece get zeros."""
    groups = keys.shape[2]
    q = queries.unflatten(2, (groups, -1)).permute(0, 2, 3, 1, 4)  # [B, G, w, n, e]
    k, v = keys.to(values.dtype).transpose(1, 2), values.transpose(1, 2)  # [B, G, m, e]
    out: Tensor = _Pieces.apply(  # type: ignore[no-untyped-call]
        q.to(v.dtype) * q.shape[-1] ** -0.5, k, v, pieces
    )
    return out.permute(0, 3, 1, 2, 4).flatten(2, 3)


class _Pieces(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, pieces: Sequence[Piece]) -> Tensor:
        out, kept = torch.zeros_like(q, memory_format=torch.contiguous_format), []
        with torch.autocast(q.device.type, enabled=False):  # which takes softmax in float32
            for piece in pieces:
                own, keys, values = _own(q, piece), _seen(k, piece), _seen(v, piece)
                scores = own @ keys.mT
                size = piece.own[1] - piece.own[0]
                scores.unflatten(1, (-1, size))[..., -size:] += _later(size, scores)
                weights = scores.softmax(-1)
                kept.append(weights)
                _place(out, piece, weights @ values)
        ctx.save_for_backward(q, k, v, *kept)
        ctx.pieces = pieces
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        q, k, v, *kept = ctx.saved_tensors
        dq = torch.zeros_like(q, memory_format=torch.contiguous_format)
        # What every piece sees gets a sum of many gradients, hence float32.
        dk, dv = (torch.zeros(x.shape, dtype=torch.float32, device=x.device) for x in (k, v))
        for piece, weights in zip(ctx.pieces, kept, strict=True):
            own, above = _own(q, piece), _own(grad, piece)
            shares = above @ _seen(v, piece).mT
            scores = torch._softmax_backward_data(shares, weights, -1, weights.dtype)
            _place(dq, piece, scores @ _seen(k, piece))
            _add(dk, piece, scores.mT @ own)
            _add(dv, piece, weights.mT @ above)
        return dq, dk.to(k.dtype), dv.to(v.dtype), None


def _own(x: Tensor, piece: Piece) -> Tensor:
    """A piece's part of [B, G, w, n, e]: [G, w · i, e]."""
    return x[piece.pack, :, :, slice(*piece.own)].flatten(1, 2)


def _place(x: Tensor, piece: Piece, part: Tensor) -> None:
    own = x[piece.pack, :, :, slice(*piece.own)]
    own.copy_(part.view(own.shape))


def _seen(x: Tensor, piece: Piece) -> Tensor:
    """What a piece sees of [B, G, m, e]: [G, j, e]."""
    return torch.cat([x[piece.pack, :, slice(*run)] for run in piece.sees], dim=1)


def _add(x: Tensor, piece: Piece, part: Tensor) -> None:
    at = 0
    for first, last in piece.sees:
        x[piece.pack, :, first:last] += part[:, at : at + last - first]
        at += last - first


def _later(size: int, like: Tensor) -> Tensor:
    """[size, size], -inf where a token would see a later one."""
    return torch.full((size, size), float("-inf"), dtype=like.dtype, device=like.device).triu(1)


def pieces_of(
    owners: Tensor, sees: Tensor | None, before: Tensor | None, first: int
) -> list[Piece]:
    """The pieces of a sequence that sees start rows, the one before it if there is one, and itself.

    Args:
        owners: [B, n] the piece that each token belongs to, in runs; -1 for none.
        sees: [B, pieces, pieces before], which of those before each sees.
        before: [B, n'] owners of the sequence before.
        first: start rows.
    """
    found: list[Piece] = []
    skipped = first + (0 if before is None else before.shape[1])
    for pack, row in enumerate(owners.tolist()):
        runs = {} if before is None else dict(_runs(before[pack].tolist()))
        for number, (start, end) in _runs(row):
            seen = [] if sees is None else sees[pack, number].nonzero().flatten().tolist()
            ranges = [(first + runs[one][0], first + runs[one][1]) for one in seen]
            own = skipped + start, skipped + end
            found.append(Piece(pack, (start, end), ((0, first), *ranges, own)))
    return found


def _runs(owners: Sequence[int]) -> Iterator[tuple[int, tuple[int, int]]]:
    """(piece, (from, to)) of each piece of a sequence."""
    start = 0
    for at in range(1, len(owners) + 1):
        if at == len(owners) or owners[at] != owners[start]:
            if owners[start] >= 0:
                yield owners[start], (start, at)
            start = at
