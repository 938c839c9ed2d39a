"""Notes: written soon, waited for by nobody."""

from __future__ import annotations

import threading

from mplus_ray.model.errors import StorageError
from mplus_ray.pipeline.ledger.deferred_writes import DeferredWrites


def test_the_same_note_is_taken_once_while_it_waits() -> None:
    notes, go = DeferredWrites(), threading.Event()
    written: list[str] = []

    def slow() -> None:
        go.wait(10)
        written.append("slow")

    notes.submit("slow", slow)
    for _ in range(3):
        notes.submit("a", lambda: written.append("a"))
    notes.submit("b", lambda: written.append("b"))
    assert written == []
    go.set()
    notes.close()
    assert written == ["slow", "a", "b"]


def test_one_that_fails_may_come_again() -> None:
    notes, tries = DeferredWrites(), []

    def fail() -> None:
        tries.append(1)
        raise StorageError("the disk is full")

    for expected in (1, 2):
        notes.submit("a", fail)
        done = threading.Event()
        notes.submit("done", done.set)
        assert done.wait(10)
        assert len(tries) == expected
    notes.close()


def test_nothing_is_taken_after_the_end() -> None:
    notes = DeferredWrites()
    notes.close()
    notes.submit("a", lambda: None)
    assert notes._thread is None
