"""What a source is: a stream of documents, each of which is told when it is safe."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from mplus_ray.pipeline.parsing.document import ParsedDocument


def _nobody() -> None:
    """Nobody asked to be told."""


@dataclass(frozen=True)
class Incoming:
    """A document on its way in.

    Attributes:
        source: where it came from, as it is shown, noted and, where that can be, read again.
        load: parses it, or raises a DocumentError that says why it cannot be.
        key: the id that the user knows it by; None: its source.
        done: to be called once the ledger has it, as a document or as a failure.
        prompt: nobody knows when the next one comes, so it is to be durable before that is
            asked for.
        kind: what it is counted as where it is left out, such as `line`; None: by its name.
    """

    source: str
    load: Callable[[], ParsedDocument]
    key: str | None = None
    done: Callable[[], None] = _nobody
    prompt: bool = False
    kind: str | None = None


@dataclass(frozen=True)
class Finished:
    """A file of many documents was read to its end: what was noted against it is void.

    Attributes:
        source: the file's name, as its records' sources begin.
    """

    source: str


@dataclass(frozen=True)
class Present:
    """Every file that a watched folder has: what came from others of it is to be forgotten.

    Attributes:
        folder: its path, which the sources of its documents begin with.
        files: their paths.
    """

    folder: str
    files: frozenset[str]


@dataclass(frozen=True)
class Rows:
    """Every document that a file of many has in a mirrored folder: others of it are to be
    forgotten.

    Attributes:
        source: the file's path, as its documents' sources begin.
        keys: hashes (`hash`) of their ids, so that a million take little memory.
    """

    source: str
    keys: Set[int]


@dataclass(frozen=True)
class Idle:
    """Nothing waits at the moment; more may come."""


Item = Incoming | Finished | Present | Rows | Idle


class DocumentSource(Protocol):
    """Documents one after another; it reads on only when it is asked for the next."""

    @property
    def endless(self) -> bool:
        """Whether it goes on until it is stopped."""

    def __iter__(self) -> Iterator[Item]: ...


@dataclass(frozen=True)
class Until:
    """When an endless source ends.

    Attributes:
        stop: set it, and the source ends before its next document.
        idle: seconds without a new document after which it ends; None: never.
    """

    stop: threading.Event = field(default_factory=threading.Event)
    idle: float | None = None


class Quiet:
    """How long nothing has come."""

    def __init__(self, until: Until, clock: Callable[[], float]) -> None:
        self._until = until
        self._clock = clock
        self._last = clock()

    def reset(self) -> None:
        """Something came."""
        self._last = self._clock()

    @contextmanager
    def not_counting(self) -> Iterator[None]:
        """What its user does meanwhile, such as memorizing, is no silence of the source."""
        began = self._clock()
        yield
        self._last += self._clock() - began

    @property
    def over(self) -> bool:
        """Whether the source is to end."""
        idle = self._until.idle
        return self._until.stop.is_set() or (
            idle is not None and self._clock() - self._last >= idle
        )
