"""Which rows are in the short-term pool and which in the long-term memory, as a value.

Rows are named by their birth, step·K + i; rows that came with the checkpoint (genesis) have
negative ids. Moving a row from the pool to the long-term memory moves an id and no bytes, and
the index sets of any step follow from the seed alone.

Legend: L layers, K rows a block, N rows of a full pool, K0 retrieved rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from mplus_ray.model.config import ModelConfig
from mplus_ray.model.ids import Ids
from mplus_ray.model.memory.drops import drop_positions

Counters = NDArray[np.float32]

_FORGOTTEN = 0.01  # the official threshold: a counter at or below it has run out
_NEVER = 1e9  # decays
_MERGES = 1 << 20  # more than any memory lives through; a counter that lasts longer never ends


@dataclass(frozen=True)
class _Batch:
    """Rows that were merged into the long-term memory together, and so will be forgotten.

    Attributes:
        ids: [L, m], in the order in which they left the pool.
        decays: per layer, how often it had decayed before.
        before: rows of all earlier batches, per layer.
    """

    ids: Ids
    decays: tuple[int, ...]
    before: int

    @property
    def end(self) -> int:
        return self.before + self.ids.shape[1]


class _Batches:
    """The first `count` of a list that only grows, shared by all values of one history."""

    def __init__(self, shared: list[_Batch], count: int) -> None:
        self._shared = shared
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> _Batch:
        return self._shared[index if index >= 0 else index + self._count]

    def since(self, first: int) -> list[_Batch]:
        return self._shared[first : self._count]

    def add(self, batch: _Batch) -> _Batches:
        """One more; another future of the same past gets a list of its own."""
        shared = self._shared if len(self._shared) == self._count else self.since(0)
        shared.append(batch)
        return _Batches(shared, self._count + 1)


@dataclass(frozen=True)
class _LongTerm:
    """The merged rows. A merge adds one batch and shares the others with the value before it.

    Attributes:
        genesis, counters: per layer, the checkpoint's own rows and what is left to each.
        batches: oldest first.
        alive: per layer, how many of the oldest batches are forgotten.
        decays: per layer, how often it has decayed.
    """

    genesis: tuple[Ids, ...]
    counters: tuple[Counters, ...]
    batches: _Batches
    alive: tuple[int, ...]
    decays: tuple[int, ...]

    def rows(self, layer: int) -> Ids:
        batches = self.batches.since(self.alive[layer])
        return np.concatenate([self.genesis[layer], *(batch.ids[layer] for batch in batches)])

    def left(self, layer: int, config: ModelConfig) -> Counters:
        """What is left to each of `rows` before it is forgotten."""
        table, batches = _decayed(config), self.batches.since(self.alive[layer])
        ages = [self.decays[layer] - batch.decays[layer] for batch in batches]
        return np.concatenate(
            [
                self.counters[layer],
                *(
                    np.full(batch.ids.shape[1], table[min(age, len(table) - 1)], np.float32)
                    for age, batch in zip(ages, batches, strict=True)
                ),
            ]
        )

    def merge(self, config: ModelConfig, ids: Ids) -> _LongTerm:
        """Rows [L, m] join, every row decays, rows at zero are forgotten.

        Forgetting and decay are suspended while they would leave fewer than K0 rows.
        """
        before = self.batches[-1].end if len(self.batches) else 0
        batches = self.batches.add(_Batch(ids, self.decays, before))
        decays, alive = list(self.decays), list(self.alive)
        genesis, counters = list(self.genesis), list(self.counters)
        lifetime = _lifetime(config)
        for layer in range(len(decays)):
            first = alive[layer]
            while first < len(batches) and (
                decays[layer] + 1 - batches[first].decays[layer] >= lifetime
            ):
                first += 1
            kept = batches[-1].end - batches[first].before if first < len(batches) else 0
            ids, left = genesis[layer], counters[layer]
            if len(ids):  # looking costs more than nothing, at every step
                left = left - np.float32(config.decay_frequency)
                stay = left > _FORGOTTEN
                ids, left = ids[stay], left[stay]
            if kept + len(ids) > config.retrieved_rows:
                genesis[layer], counters[layer] = ids, left
                alive[layer], decays[layer] = first, decays[layer] + 1
        gone = min(alive)
        if 2 * gone < len(batches):  # forgotten batches are let go of when they are many
            gone = 0
        return _LongTerm(
            genesis=tuple(genesis),
            counters=tuple(counters),
            batches=_Batches(batches.since(gone), len(batches) - gone) if gone else batches,
            alive=tuple(first - gone for first in alive),
            decays=tuple(decays),
        )


@dataclass(frozen=True)
class Membership:
    """The index sets of one tenant after `step` chunks.

    Attributes:
        step: chunks memorized so far.
        pool: row ids [L, n], n ≤ N, oldest first.
        dropped: [L, m] ids that left the pool at each step since the last merge.
        config: of the model.
    """

    config: ModelConfig = field(repr=False)
    step: int
    pool: Ids = field(repr=False)
    dropped: tuple[Ids, ...] = field(repr=False)
    _merged: _LongTerm = field(repr=False)

    @classmethod
    def genesis(
        cls,
        config: ModelConfig,
        pool: Ids | None = None,
        long_term: Sequence[Ids] = (),
        remaining: Sequence[Counters] = (),
    ) -> Membership:
        """Before the first step: nothing, or the rows that the checkpoint brings along."""
        layers = config.num_hidden_layers
        nothing = np.empty(0, dtype=np.int64)
        merged = _LongTerm(
            genesis=tuple(long_term) or (nothing,) * layers,
            counters=tuple(remaining) or (np.empty(0, dtype=np.float32),) * layers,
            batches=_Batches([], 0),
            alive=(0,) * layers,
            decays=(0,) * layers,
        )
        first = np.empty((layers, 0), dtype=np.int64) if pool is None else pool
        return cls(config, 0, first, (), merged)

    @cached_property
    def long_term(self) -> tuple[Ids, ...]:
        """Per layer, the merged row ids in the order in which they were merged."""
        return tuple(self._merged.rows(layer) for layer in range(len(self.pool)))

    @cached_property
    def remaining(self) -> tuple[Counters, ...]:
        """Per layer, how much decay each of them still survives."""
        return tuple(self._merged.left(layer, self.config) for layer in range(len(self.pool)))

    def retrievable(self, layer: int) -> Ids:
        """Long-term row ids of a layer: the merged ones, then those dropped since, in order."""
        return np.concatenate([self.long_term[layer], *(ids[layer] for ids in self.dropped)])

    @property
    def leaving(self) -> int:
        """How many rows of each layer's pool the next step pushes out."""
        return max(0, self.pool.shape[1] + self.config.num_tokens - self.config.pool_rows)

    def draw(self, seed: int) -> Ids:
        """The pool positions [L, m] that the next step drops for this seed."""
        config = self.config
        return drop_positions(
            seed,
            self.step,
            config.num_hidden_layers,
            self.pool.shape[1],
            self.leaving,
            config.drop_memory_per_layer,
        )

    def replay(self, seed: int, step: int) -> Membership:
        """The membership of a later step, from the seed alone."""
        membership = self
        while membership.step < step:
            membership = membership.advance(membership.draw(seed))
        return membership

    def advance(self, positions: Ids) -> Membership:
        """Append the block of the next step, after dropping the pool `positions` [L, m]."""
        config, step = self.config, self.step
        layers, rows = self.pool.shape
        block = config.num_tokens
        flat = (
            positions + np.arange(0, layers * rows, rows)[:, None] if rows else positions
        ).ravel()
        before = self.pool.ravel()
        keep = np.ones(layers * rows, dtype=bool)
        keep[flat] = False
        pool = np.empty((layers, rows - positions.shape[1] + block), dtype=np.int64)
        pool[:, :-block] = before[keep].reshape(layers, -1)
        pool[:, -block:] = np.arange(step * block, (step + 1) * block)
        if not config.has_long_term:
            return Membership(config, step + 1, pool, (), self._merged)
        dropped = (*self.dropped, before[flat].reshape(layers, -1))
        if len(dropped) < config.update_ltm_frequency:
            return Membership(config, step + 1, pool, dropped, self._merged)
        merged = self._merged.merge(config, np.concatenate(dropped, axis=1))
        return Membership(config, step + 1, pool, (), merged)

    @property
    def is_all(self) -> bool:
        """Whether a reader may retrieve every row of every step, wherever drops have put it.

        Then it need not know where: nothing has to be replayed in order to read.
        """
        if self.config.pool_attended or self.forgets:
            return False
        batches, started = self._merged.batches, self._merged.genesis[0]
        merged = len(started) + (batches[-1].end if len(batches) else 0)
        rows = self.pool.shape[1] + merged + sum(ids.shape[1] for ids in self.dropped)
        return rows == self.step * self.config.num_tokens and not (started < 0).any()

    def everything(self, step: int) -> Membership:
        """The memory after `step` steps as such a reader sees it: all of it long-term."""
        rows = np.arange(step * self.config.num_tokens, dtype=np.int64)
        layers = self.config.num_hidden_layers
        counters = np.full(len(rows), np.inf, dtype=np.float32)
        blank = Membership.genesis(self.config, None, (rows,) * layers, (counters,) * layers)
        return replace(blank, step=step)

    def unbounded(self) -> Membership:
        """This membership with counters that never run out."""
        return replace(self, config=replace(self.config, initial_rf_when_moving_stm_to_ltm=_NEVER))

    @property
    def forgets(self) -> bool:
        """Whether long-term rows are ever forgotten."""
        return self.config.has_long_term and _lifetime(self.config) < _MERGES

    def living_steps(self) -> NDArray[np.bool_]:
        """[step], true where a row of the step is in the pool or the long-term memory."""
        retrievable = (self.retrievable(layer) for layer in range(len(self.pool)))
        return steps_of((*self.pool, *retrievable), self.step, self.config.num_tokens)

    def without_memory(self) -> Membership:
        """This step with nothing remembered."""
        return replace(Membership.genesis(self.config), step=self.step)

    def pool_only(self) -> Membership:
        """This pool with no long-term memory: what MemoryLLM would have."""
        return replace(self.without_memory(), pool=self.pool)


def steps_of(rows: Iterable[Ids], steps: int, rows_per_step: int) -> NDArray[np.bool_]:
    """[steps], true where a step has one of these rows; genesis rows belong to no step."""
    found = np.zeros(steps, dtype=bool)
    for ids in rows:
        found[ids[ids >= 0] // rows_per_step] = True
    return found


@lru_cache
def _counter_table(start: float, decay: float) -> Counters:
    """What is left after 0, 1, 2, … decays, rounded at every one as the official code does."""
    size = min(_MERGES, int(start / decay) + 2) if decay > 0 else 1
    steps = np.full(size, decay, dtype=np.float32)
    steps[0] = start
    return np.subtract.accumulate(steps, dtype=np.float32)


def _decayed(config: ModelConfig) -> Counters:
    return _counter_table(config.initial_rf_when_moving_stm_to_ltm, config.decay_frequency)


def _lifetime(config: ModelConfig) -> int:
    """Decays after which a row is forgotten."""
    return _decays_to_end(config.initial_rf_when_moving_stm_to_ltm, config.decay_frequency)


@lru_cache
def _decays_to_end(start: float, decay: float) -> int:
    # Looked up at every merge: searching a table of a million took half of a step's time.
    ended = np.flatnonzero(_counter_table(start, decay) <= _FORGOTTEN)
    return int(ended[0]) if len(ended) else _MERGES
