"""Which pool rows a step drops: random to the model, a pure function of (seed, step, layer).

Philox is counter-based, so the draw of any step is found without the ones before it, and its raw
words are fixed by its definition (Salmon et al., 2011), not by a library's version.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_WORD = (1 << 64) - 1


def drop_positions(
    seed: int, step: int, layers: int, pool: int, count: int, per_layer: bool
) -> NDArray[np.int64]:
    """The pool positions dropped at a step, ascending, [layers, count] of 0 … pool - 1.

    Args:
        seed: the tenant's, any non-negative integer below 2^128.
        step: the chunk being memorized, from 0.
        per_layer: draw for every layer; otherwise all layers drop the same positions.
    """
    if count == 0:
        return np.empty((layers, 0), dtype=np.int64)
    drawn = layers if per_layer else 1
    key = np.array([seed & _WORD, seed >> 64], dtype=np.uint64)
    generator = np.random.Philox(key=key)
    state: Any = generator.state
    words = np.empty((drawn, pool), dtype=np.uint64)
    for layer in range(drawn):
        state["state"]["counter"][:] = (0, 0, layer, step)
        generator.state = state  # four times cheaper than a new generator
        words[layer] = generator.random_raw(pool)
    # The lowest `count` of `pool` random words; a tie (2^-64) falls to the lower position.
    threshold = np.partition(words, count - 1, axis=1)[:, count - 1 : count]
    low = words <= threshold
    if np.count_nonzero(low) == drawn * count:
        positions = low.nonzero()[1].reshape(drawn, count)
    else:
        positions = np.stack([np.flatnonzero(row)[:count] for row in low])
    return np.broadcast_to(positions, (layers, count)) if drawn != layers else positions
