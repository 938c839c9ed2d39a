"""What the retriever learns from, for whole blocks and for rows.

Blocks: InfoNCE over all blocks of a step with the layers' vote inside, as
`model.retrieval.block_scores` counts it. Rows: the paper's binary cross entropy (M+, section 3.3),
rows of the relevant chunk against rows of others, layer by layer; its gradients end at the
projectors.

Legend: Q questions, n question tokens, L layers, B blocks, K rows a block, s key width,
d hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from mplus_ray.model.network.decoder import Layer, Network
from mplus_ray.model.retrieval.block_scores import layer_scores
from mplus_ray.model.training.network.passes import block_keys, question_queries, through


def votes(network: Network, ids: Tensor, prompts: Tensor, blocks: Tensor) -> Tensor:
    """The layers' votes [Q, B] of questions [Q, n] of `prompts` [Q] tokens for [B, L, K, d]."""
    asked = ids[:, : int(prompts.max())]
    weights = _inside(prompts, asked.shape[1])
    layers = [
        layer_scores(queries, keys, weights.to(queries.dtype)).float()
        for queries, keys in zip(
            question_queries(network, asked), block_keys(network, blocks), strict=True
        )
    ]
    return torch.stack(layers).sum(0)


def contrast(votes: Tensor, targets: Tensor) -> tuple[Tensor, float]:
    """InfoNCE over all blocks, and how often the best is right.

    Args:
        votes: [Q, B].
        targets: [Q], the relevant block; -1: there is none.
    """
    known = targets >= 0
    if not known.any():
        return votes.sum() * 0, float("nan")
    found = (votes.argmax(1) == targets)[known].float().mean().item()
    return F.cross_entropy(votes[known], targets[known]), found


def hardest(votes: Tensor, count: int) -> list[int]:
    """Of other blocks, the best by the votes [Q, B] of as many questions: what would be fetched."""
    best: list[int] = votes[:count].argmax(1).unique().tolist()
    return best


def row_loss(
    network: Network, queries: Sequence[Tensor], prompts: Tensor, blocks: Tensor, targets: Tensor
) -> tuple[Tensor, float]:
    """Binary cross entropy of sigmoid(q·k), relevant and other rows weighing the same.

    Args:
        queries: L × [Q, n, s], of the read pass; beyond `prompts` [Q] tokens they do not count.
        blocks: [B, L, K, d].
        targets: [Q], the relevant block; -1: all rows are others.

    Returns:
        The mean over layers, and the share of the relevant rows among as many best rows as the
        configuration retrieves (nan where no block is relevant).
    """
    weights = _inside(prompts, queries[0].shape[1])
    losses, found = [], []
    for number, (layer, asked) in enumerate(zip(network.layers, queries, strict=True)):
        rows = blocks[:, number].detach()
        loss, scores = through(layer, _row_loss, asked, rows, weights, targets)
        losses.append(loss)
        found.append(_recall(scores, targets, rows.shape[1], network.config.retrieved_rows))
    return torch.stack(losses).mean(), sum(found) / len(found)


def _row_loss(
    layer: Layer, queries: Tensor, rows: Tensor, weights: Tensor, targets: Tensor
) -> tuple[Tensor, Tensor]:
    """One layer's loss, and the rows' scores [Q, B·K] as retrieval counts them."""
    keys = layer.self_attn.key_proj(layer.input_layernorm(rows).detach())
    products = torch.einsum("qns,bks->qnbk", queries, keys).float()
    relevant = targets[:, None] == torch.arange(len(rows), device=targets.device)  # [Q, B]
    share = weights[:, :, None, None] / rows.shape[1]
    right = (F.softplus(-products) * share).sum((1, 3))  # [Q, B], the mean over tokens and rows
    wrong = (F.softplus(products) * share).sum((1, 3))
    known = relevant.any(1)
    loss = wrong.masked_fill(relevant, 0).sum() / (~relevant).sum().clamp_min(1)
    loss = loss + right.masked_fill(~relevant, 0).sum() / known.sum().clamp_min(1)
    scores = (products.detach().sigmoid() * weights[:, :, None, None]).sum(1).flatten(1)
    return loss, scores


def _recall(scores: Tensor, targets: Tensor, size: int, count: int) -> float:
    """Share of the target blocks' rows among the `count` best of the scores [Q, B·K]."""
    known = targets >= 0
    if not known.any():
        return float("nan")
    best = scores[known].topk(min(count, scores.shape[1]), dim=1).indices // size
    return (best == targets[known][:, None]).sum(1).float().mean().item() / size


def _inside(prompts: Tensor, longest: int) -> Tensor:
    """[Q, n] weights of the questions' own tokens, adding up to 1 for each."""
    inside = torch.arange(longest, device=prompts.device) < prompts[:, None]
    return inside / prompts[:, None]
