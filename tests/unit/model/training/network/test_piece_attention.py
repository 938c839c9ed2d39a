"""Attention in pieces is attention with a mask, and so are its gradients."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from mplus_ray.model.training.network.apart_pass import Segments, mask_of
from mplus_ray.model.training.network.piece_attention import Piece, attend_pieces, pieces_of

START, HEADS, GROUPS, WIDTH = 3, 6, 2, 8
BLOCKS = torch.tensor([[0, 0, 0, 1, 1, 2, 2, 2, -1], [0, 1, 1, 1, 1, 2, -1, -1, -1]])
QUESTIONS = torch.tensor([[0, 0, 1, 1, 1, -1, -1], [0, 1, 1, 1, 1, 1, 1]])
SEES = torch.tensor([[[1, 0, 1], [0, 1, 0]], [[0, 0, 0], [1, 1, 1]]]).bool()


def _mask() -> torch.Tensor:
    """[B, n, m] what each token sees, token by token."""
    count, n = QUESTIONS.shape
    size = BLOCKS.shape[1]
    seen = torch.zeros(count, n, START + size + n, dtype=torch.bool)
    seen[:, :, :START] = True
    for pack in range(count):
        for token, question in enumerate(QUESTIONS[pack].tolist()):
            for key, block in enumerate(BLOCKS[pack].tolist()):
                inside = question >= 0 and block >= 0
                seen[pack, token, START + key] = inside and bool(SEES[pack, question, block])
            for key in range(token + 1):
                same = question == int(QUESTIONS[pack, key])
                seen[pack, token, START + size + key] = same
    return seen


def test_pieces_see_start_rows_their_blocks_and_themselves() -> None:
    first = pieces_of(QUESTIONS, SEES, BLOCKS, START)[0]

    assert first == Piece(0, (0, 2), ((0, 3), (3, 6), (8, 11), (12, 14)))
    assert [piece.own for piece in pieces_of(BLOCKS, None, None, START)] == [
        (0, 3), (3, 5), (5, 8), (0, 1), (1, 5), (5, 6)
    ]  # fmt: skip


def test_pieces_are_attention_with_a_mask() -> None:
    torch.manual_seed(0)
    count, n = QUESTIONS.shape
    m = START + BLOCKS.shape[1] + n
    shapes = (count, n, HEADS, WIDTH), (count, m, GROUPS, WIDTH), (count, m, GROUPS, WIDTH)
    q, k, v = (torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes)
    inside = (QUESTIONS >= 0)[:, :, None, None].double()
    above = torch.randn(count, n, HEADS, WIDTH, dtype=torch.float64) * inside

    own, keys, values = (x.transpose(1, 2) for x in (q, k, v))
    mask = _mask()[:, None]
    whole = F.scaled_dot_product_attention(own, keys, values, attn_mask=mask, enable_gqa=True)
    whole = whole.transpose(1, 2)
    parts = attend_pieces(q, k, v, pieces_of(QUESTIONS, SEES, BLOCKS, START))

    torch.testing.assert_close(parts, whole * inside)
    wanted, found = (torch.autograd.grad(out, (q, k, v), above) for out in (whole, parts))
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)  # sums are in float32


def test_what_a_gpu_masks_is_what_pieces_leave_out() -> None:
    blocks, questions = (Segments(owners, owners, owners) for owners in (BLOCKS, QUESTIONS))

    found = mask_of(questions, blocks, SEES, START)

    inside = QUESTIONS >= 0
    assert torch.equal(found[inside], _mask()[inside])
