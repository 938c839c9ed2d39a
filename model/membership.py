"""Which rows are in the short-term pool and which in the long-term memory, as a value.

Rows are named by their birth, step·K + i; rows that came with the checkpoint (genesis) have
negative ids. Moving a row from the pool to the long-term memory moves an id and no bytes.

Legend: L layers, K rows a block, N rows of a full pool, K0 retrieved rows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from model.config import ModelConfig

Ids = NDArray[np.int64]

_FORGOTTEN = 0.01  # the official threshold: a counter at or below it has run out


@dataclass(frozen=True)
class Membership:
    """The index sets of one tenant after `step` chunks.

    Attributes:
        step: chunks memorized so far.
        pool: row ids [L, n], n ≤ N, oldest first.
        long_term: per layer, the merged row ids in the order in which they were merged.
        remaining: per layer, how much decay each of them still survives.
        dropped: [L, m] ids that left the pool at each step since the last merge.
    """

    step: int
    pool: Ids
    long_term: tuple[Ids, ...]
    remaining: tuple[NDArray[np.float32], ...]
    dropped: tuple[Ids, ...]

    @classmethod
    def empty(cls, config: ModelConfig) -> Membership:
        layers = config.num_hidden_layers
        nothing = np.empty(0, dtype=np.int64)
        return cls(
            step=0,
            pool=np.empty((layers, 0), dtype=np.int64),
            long_term=(nothing,) * layers,
            remaining=(np.empty(0, dtype=np.float32),) * layers,
            dropped=(),
        )

    def retrievable(self, layer: int) -> Ids:
        """Long-term row ids of a layer: the merged ones, then those dropped since, in order."""
        return np.concatenate([self.long_term[layer], *(ids[layer] for ids in self.dropped)])

    def leaving(self, config: ModelConfig) -> int:
        """How many rows of each layer's pool the next step pushes out."""
        return max(0, self.pool.shape[1] + config.num_tokens - config.pool_rows)

    def advance(self, config: ModelConfig, positions: Ids) -> Membership:
        """Append the block of the next step, after dropping the pool `positions` [L, m]."""
        layers, rows = self.pool.shape
        block = config.num_tokens
        keep = np.ones((layers, rows), dtype=bool)
        np.put_along_axis(keep, positions, False, axis=1)
        born = np.arange(self.step * block, (self.step + 1) * block)
        stayed = self.pool[keep].reshape(layers, -1)
        pool = np.concatenate([stayed, np.broadcast_to(born, (layers, block))], axis=1)
        after = replace(self, step=self.step + 1, pool=pool)
        if not config.has_long_term:
            return after
        left = np.take_along_axis(self.pool, positions, axis=1)
        after = replace(after, dropped=(*self.dropped, left))
        return after._merge(config) if len(after.dropped) >= config.update_ltm_frequency else after

    def _merge(self, config: ModelConfig) -> Membership:
        """Dropped rows join the long-term memory, every row decays, rows at zero are forgotten.

        Forgetting and decay are suspended while they would leave fewer than K0 rows.
        """
        long_term, remaining = [], []
        for layer, counters in enumerate(self.remaining):
            ids = self.retrievable(layer)
            fresh = np.full(
                len(ids) - len(counters), config.initial_rf_when_moving_stm_to_ltm, np.float32
            )
            before = np.concatenate([counters, fresh])
            decayed = before - np.float32(config.decay_frequency)
            alive = decayed > _FORGOTTEN
            if alive.sum() > config.retrieved_rows:
                ids, decayed = ids[alive], decayed[alive]
            else:
                decayed = before
            long_term.append(ids)
            remaining.append(decayed)
        return replace(self, long_term=tuple(long_term), remaining=tuple(remaining), dropped=())
