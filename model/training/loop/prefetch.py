"""The batches of a phase in the order of its steps, drawn ahead where a GPU would wait for them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from itertools import count
from random import Random
from typing import Any, NamedTuple

from torch.utils.data import DataLoader, Dataset

from mplus_ray.model.training.task import Draws, Task

_AHEAD = 4  # steps that each process is ahead


class DrawnBatch(NamedTuple):
    """A batch, the draws as they stand after it, and what torch's generator is to start from."""

    batch: Any
    draws: Draws
    seed: int


class _Steps(Dataset[list[DrawnBatch]]):
    """Step number → a batch for every task."""

    def __init__(self, tasks: dict[int, Task], name: str) -> None:
        self._tasks, self._name = tasks, name

    def __getitem__(self, step: int) -> list[DrawnBatch]:
        return [self._draw(f"{self._name}/{step}", shard) for shard in self._tasks]

    def _draw(self, step: str, shard: int) -> DrawnBatch:
        draws = Draws.of(step, shard)
        batch = self._tasks[shard].draw(draws)
        return DrawnBatch(batch, draws, Random(f"{step}/{shard}").getrandbits(63))


def batches(
    tasks: dict[int, Task], name: str, first: int, drawers: int
) -> Iterator[list[DrawnBatch]]:
    """Without end, from step `first` on; a batch depends on the name, the step and the shard.

    Args:
        tasks: by shard; only their `draw` is called.
        drawers: processes that draw ahead; 0: drawn here, when wanted.
    """
    # Forked, so that texts are not copied. What is forked runs Python only, on none of the locks
    # that the warning of Python 3.12 and later is about.
    loader: DataLoader[list[DrawnBatch]] = DataLoader(
        _Steps(tasks, name),
        batch_size=None,
        sampler=count(first),
        num_workers=drawers,
        prefetch_factor=_AHEAD if drawers else None,
        collate_fn=_as_it_is,
        multiprocessing_context="fork" if drawers else None,
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*use of fork.*", DeprecationWarning)
        return iter(loader)


def _as_it_is(drawn: list[DrawnBatch]) -> list[DrawnBatch]:
    return drawn
