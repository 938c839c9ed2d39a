"""Losses of tokens, without ever holding the logits of all of them.

With a vocabulary of 128,000 the logits of 4,096 tokens are 2 GB in float32, and their gradients
as many again; in slices that are computed twice they are a fixed amount.

Legend: T tokens, d hidden size.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from mplus_ray.model.network.decoder import Network

_LOGITS = 1 << 26  # of a slice: 256 MB in float32


def token_losses(network: Network, hidden: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Last hidden states [T, d] and the tokens [T] that follow.

    Returns:
        Cross entropies [T] in float32, and [T] whether the token was the likeliest.
    """
    size = max(1, _LOGITS // network.config.vocab_size)
    if len(targets) <= size:
        return _slice(network, hidden, targets)
    parts = [
        checkpoint(_slice, network, h, t, use_reentrant=False, preserve_rng_state=False)
        for h, t in zip(hidden.split(size), targets.split(size), strict=True)
    ]
    return torch.cat([losses for losses, _ in parts]), torch.cat([hits for _, hits in parts])


def divergences(network: Network, hidden: Tensor, teacher: Tensor) -> Tensor:
    """KL divergences [T] in nats of what follows hidden states [T, d] from what follows a
    teacher's [T, d], which gets no gradient."""
    size = max(1, _LOGITS // network.config.vocab_size)
    if len(hidden) <= size:
        return _divergence(network, hidden, teacher)
    parts = [
        checkpoint(_divergence, network, h, t, use_reentrant=False, preserve_rng_state=False)
        for h, t in zip(hidden.split(size), teacher.split(size), strict=True)
    ]
    return torch.cat(parts)


def _divergence(network: Network, hidden: Tensor, teacher: Tensor) -> Tensor:
    with torch.no_grad():
        wanted = network.logits(teacher).float().log_softmax(-1)
    found = network.logits(hidden).float().log_softmax(-1)
    return (wanted.exp() * (wanted - found)).sum(-1)


def _slice(network: Network, hidden: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    logits = network.logits(hidden).float()
    return F.cross_entropy(logits, targets, reduction="none"), logits.argmax(-1) == targets
