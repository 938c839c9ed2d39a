"""How well a block of memory rows fits a question; training and inference share this file.

Every question token looks for its best row in a block (late interaction, ColBERT), tokens are
averaged, and the layers' scores are added. A block's score depends on no other block, so it may
be computed in slabs. The vote needs no standardization: training learns each layer's scale.

Legend: L layers, Q questions, n question tokens, B blocks, K rows a block, s key width.
"""

from __future__ import annotations

from torch import Tensor


def layer_scores(queries: Tensor, keys: Tensor, weights: Tensor | None = None) -> Tensor:
    """One layer's votes.

    Args:
        queries: [Q, n, s], query_proj of the normed hidden states of the question alone.
        keys: [B, K, s], key_proj of the normed rows.
        weights: [Q, n], each question's adding up to 1; None averages all n tokens.

    Returns:
        [Q, B] float32: in a narrower type votes of many blocks would be equal.
    """
    count, n, width = queries.shape
    products: Tensor = queries.reshape(-1, width) @ keys.reshape(-1, width).T
    products = products.view(count, n, keys.shape[0], keys.shape[1])
    # The gradient of `amax` looks for the maximum again, all over; `max` knows where it was. On a
    # CPU it is slower to find.
    remembered = products.is_cuda and products.requires_grad
    best = products.max(-1).values if remembered else products.amax(-1)
    best = best.float() * width**-0.5
    if weights is None:
        return best.mean(1)
    return (best * weights[:, :, None]).sum(1)
