"""Where a memory's rows are: in the pool, in the long-term memory or gone, layer by layer.

It follows from the tenant's seed and the model's shape, so no file is read and no weights are
needed. Legend: L layers, K rows a step, B buckets of consecutive steps.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mplus_ray.model.errors import InvalidInputError
from mplus_ray.model.memory.membership import Membership
from mplus_ray.pipeline.ledger.tenant import Tenant

_KEPT_MEMBERSHIPS = 8  # memberships; one names every living row of every layer
_MOST_BUCKETS = 4096


@dataclass(frozen=True)
class Tiers:
    """Rows of one layer; `forgotten` are those of the tenant's own steps that are in neither.

    Attributes:
        pool, long_term: rows that can be read.
        forgotten: rows that cannot be any more.
    """

    pool: int
    long_term: int
    forgotten: int


@dataclass(frozen=True)
class MemoryMap:
    """Rows of a tenant's own steps by layer and bucket; a checkpoint's own rows are left out.

    Attributes:
        step: after which it is like this.
        bucket: steps a bucket has; the last may have fewer.
        rows_per_step: K.
        pool, long_term, gone: [L][B].
    """

    step: int
    bucket: int
    rows_per_step: int
    pool: list[list[int]]
    long_term: list[list[int]]
    gone: list[list[int]]


class Memberships:
    """Index sets of many tenants, those looked at last kept, so that only new steps are drawn.

    Any number of threads may call it.

    Args:
        genesis: what a memory of the tenants' model begins with.
        kept: of how many tenants.
    """

    def __init__(self, genesis: Membership, kept: int = _KEPT_MEMBERSHIPS) -> None:
        self._genesis = genesis
        self._most = kept
        self._kept: OrderedDict[str, Membership] = OrderedDict()
        self._lock = threading.Lock()

    def at(self, tenant: Tenant, step: int) -> Membership:
        """A tenant's index sets after so many steps; from step 0 that takes 0.2 ms a step."""
        with self._lock:
            start = self._kept.get(tenant.id)
        if start is None or start.step > step:
            unbounded = tenant.retention == "unbounded"
            start = self._genesis.unbounded() if unbounded else self._genesis
        found = start.replay(tenant.seed, step)
        with self._lock:
            self._kept[tenant.id] = found
            self._kept.move_to_end(tenant.id)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return found


def tiers(membership: Membership) -> list[Tiers]:
    """The rows of each layer by where they are."""
    written = membership.step * membership.config.num_tokens
    found = []
    for layer, pool in enumerate(membership.pool):
        long_term = membership.retrievable(layer)
        own = int((pool >= 0).sum() + (long_term >= 0).sum())
        found.append(Tiers(len(pool), len(long_term), written - own))
    return found


def draw_map(membership: Membership, buckets: int = 200) -> MemoryMap:
    """Count rows in at most so many buckets of steps.

    Raises:
        InvalidInputError: there cannot be so many buckets.
    """
    if not 1 <= buckets <= _MOST_BUCKETS:
        raise InvalidInputError(f"{buckets} buckets cannot be drawn; ask for 1 … {_MOST_BUCKETS}")
    step, rows = membership.step, membership.config.num_tokens
    bucket = max(1, -(-step // buckets))
    count = -(-step // bucket)
    layers = range(len(membership.pool))
    pool = _counted(membership.pool, rows * bucket, count)
    long_term = _counted([membership.retrievable(i) for i in layers], rows * bucket, count)
    ends = np.minimum(np.arange(1, count + 1) * bucket, step)
    written = np.diff(ends, prepend=0) * rows
    gone = written - pool - long_term
    return MemoryMap(step, bucket, rows, pool.tolist(), long_term.tolist(), gone.tolist())


def _counted(
    layers: Sequence[NDArray[np.int64]] | NDArray[np.int64], width: int, count: int
) -> NDArray[np.int64]:
    """[L, B]: how many of each layer's row ids lie in each bucket of `width` ids."""
    rows: Iterable[NDArray[np.int64]] = (ids[ids >= 0] // width for ids in layers)
    return np.stack([np.bincount(ids, minlength=count) for ids in rows])
