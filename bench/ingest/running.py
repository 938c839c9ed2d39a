"""A worker that goes on in a thread while documents arrive."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from mplus_ray.pipeline.workers.worker import Worker


@dataclass(frozen=True)
class BenchWorker:
    """A worker at work."""

    _future: Future[int]

    def check(self) -> None:
        """Raise what ended it; one that still works is left alone."""
        if self._future.done():
            self._future.result()
            raise RuntimeError("the worker ended before it was told to")


@contextmanager
def running(worker: Worker) -> Iterator[BenchWorker]:
    """Let it work until the block ends; an error of its own is raised then."""
    stop = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(worker.run, stop)
        try:
            yield BenchWorker(future)
        finally:
            stop.set()
        future.result()
