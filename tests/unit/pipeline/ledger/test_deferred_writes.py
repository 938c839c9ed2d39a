"""Notes: written soon, waited for by nobody."""

from __future__ import annotations

import threading

from mplus_ray.model.errors import StorageError
from mplus_ray.pipeline.ledger.deferred_writes import Notes


def test_the_same_note_is_taken_once_while_it_waits() -> None:
    notes, go = Notes(), threading.Event()
    written: list[str] = []

    def slow() -> None:
        go.wait(10)
        written.append("slow")

    notes.take("slow", slow)
    for _ in range(3):
        notes.take("a", lambda: written.append("a"))
    notes.take("b", lambda: written.append("b"))
    assert written == []
    go.set()
    notes.close()
    assert written == ["slow", "a", "b"]


def test_one_that_fails_may_come_again() -> None:
    notes, tries = Notes(), []

    def fail() -> None:
        tries.append(1)
        raise StorageError("the disk is full")

    for expected in (1, 2):
        notes.take("a", fail)
        done = threading.Event()
        notes.take("done", done.set)
        assert done.wait(10)
        assert len(tries) == expected
    notes.close()


def test_nothing_is_taken_after_the_end() -> None:
    notes = Notes()
    notes.close()
    notes.take("a", lambda: None)
    assert notes._thread is None
