"""Files parsed by several processes, and handed on in the order and with the outcome of one.

Plain Ray tasks with a window, not Ray Data: a file is one task, so what kills its worker is
known by name, and the order is that of a queue. Nothing is read before the window reaches it, and
what is parsed waits there, so memory does not grow with the number of files.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from mplus_ray.model.errors import DocumentError, InvalidInputError, MPlusError
from mplus_ray.pipeline.parsing.document import ParsedDocument
from mplus_ray.pipeline.parsing.multi_document import holds_many
from mplus_ray.pipeline.parsing.refusals import Refusal
from mplus_ray.pipeline.ray_cluster import local_ray
from mplus_ray.pipeline.sources import DocumentSource, Finished, Incoming, Item, divided
from mplus_ray.pipeline.sources.records import OneFile

_MOST_WORKERS = 64
_WINDOW = 4  # files under way for each worker
_BATCH_DOCUMENTS, _BATCH_CHARACTERS = 64, 1 << 20  # of a file of many, in one message
_AHEAD = 2  # messages of a file of many that wait to be taken
_PARSE_TRIES = 3  # of a file whose worker dies


@dataclass(frozen=True)
class _Parsed:
    """A document as it left its worker, or why there is none."""

    source: str
    key: str | None
    outcome: ParsedDocument | DocumentError

    def load(self) -> ParsedDocument:
        if isinstance(self.outcome, DocumentError):
            raise self.outcome
        return self.outcome

    @property
    def characters(self) -> int:
        return 0 if isinstance(self.outcome, DocumentError) else len(self.outcome.text)


Piece = _Parsed | Finished


def count_workers(text: str) -> int:
    """How many processes `--parse-workers` asks for.

    Raises:
        InvalidInputError: it is neither `auto` nor a number from 2 on.
    """
    if text == "auto":
        return min(max(len(os.sched_getaffinity(0)), 2), _MOST_WORKERS)
    if not (text.isascii() and text.isdigit()) or not 2 <= int(text) <= _MOST_WORKERS:
        raise InvalidInputError(
            f"--parse-workers {text}: give `auto` or a number from 2 to {_MOST_WORKERS}; without "
            "the option this process parses"
        )
    return int(text)


@contextmanager
def parsed_by(workers: int, source: DocumentSource) -> Iterator[DocumentSource]:
    """A source whose files are parsed by so many processes of a Ray of its own.

    Raises:
        InvalidInputError: it is a stream, which cannot be divided.
    """
    if divided(source) is None:
        raise InvalidInputError(
            "--parse-workers is for files and buckets: standard input, a topic and a watched "
            "folder are streams, which one process reads; leave the option out"
        )
    with local_ray(cpus=workers, gpus=0, oom_retries=_PARSE_TRIES - 1):
        yield Parallel(source, workers)


@dataclass(frozen=True)
class Parallel:
    """The files of a source; Ray is running, with a CPU for each of the workers.

    Attributes:
        source: one that can be divided into files.
        workers: how many processes parse.
    """

    source: DocumentSource
    workers: int
    endless = False

    def __iter__(self) -> Iterator[Item]:
        """In order. A file of many is read as a stream, and stands still while nobody takes from
        it; that holds a worker, so one of them is always left to the others.
        """
        window: deque[_Task] = deque()
        files = divided(self.source) or iter(())
        following = next(files, None)
        try:
            while following is not None or window:
                while following is not None and self._has_room(window, following):
                    window.append(_Task.of(following))
                    following = next(files, None)
                for piece in window[0].pieces():
                    yield _item(piece)
                window.popleft()
        finally:
            for task in window:
                task.leave()

    def _has_room(self, window: deque[_Task], file: OneFile) -> bool:
        if len(window) >= _WINDOW * self.workers:
            return False
        return not holds_many(file.name) or sum(t.stream for t in window) < self.workers - 1


@dataclass(frozen=True)
class _Task:
    """A file in the hands of a worker."""

    file: OneFile
    reference: Any  # of the pieces, or a generator of such references

    @classmethod
    def of(cls, file: OneFile) -> _Task:
        import ray

        options: dict[str, Any] = {"num_cpus": 1, "max_retries": _PARSE_TRIES - 1}
        if not holds_many(file.name):
            return cls(file, ray.remote(_parse).options(**options).remote(file))
        options |= {"num_returns": "streaming", "_generator_backpressure_num_objects": _AHEAD}
        return cls(file, ray.remote(_parse_many).options(**options).remote(file))

    @property
    def stream(self) -> bool:
        return holds_many(self.file.name)

    def pieces(self) -> Iterator[Piece]:
        """What became of it; a file that nobody survives is a document that cannot be read."""
        import ray
        from ray.exceptions import OutOfMemoryError, RayError, RayTaskError, WorkerCrashedError

        references = self.reference if self.stream else [self.reference]
        try:
            for reference in references:
                yield from ray.get(reference)
        except RayTaskError as error:
            raise error.cause from error
        except (WorkerCrashedError, OutOfMemoryError) as error:
            how = "ran out of memory" if isinstance(error, OutOfMemoryError) else "died"
            reason = (
                f"{self.file.name}: the process that parsed it {how}, {_PARSE_TRIES} times; split "
                "the file, or save it in another format"
            )
            yield _Parsed(
                self.file.source, self.file.key, DocumentError(reason, Refusal.TOO_COSTLY)
            )
        except RayError as error:
            raise MPlusError(
                f"Ray, which runs the processes that parse, ended ({error}); what was taken in is "
                "safe, and the same command goes on from there"
            ) from error

    def leave(self) -> None:
        """Nobody takes from it any more. A stream would stand still for ever; all else is left to
        end by itself, because cancelling what is about to end can end this process (Ray 2.60:
        "Tried to complete task that was not pending").
        """
        import ray

        if self.stream:
            ray.cancel(self.reference, force=True)


def _parse(file: OneFile) -> list[Piece]:
    """A file of one document, in a worker."""
    return [_piece(item) for item in file.items()]


def _parse_many(file: OneFile) -> Iterator[list[Piece]]:
    """A file of many, in a worker, in messages that are neither tiny nor large."""
    batch: list[Piece] = []
    characters = 0
    for item in file.items():
        piece = _piece(item)
        batch.append(piece)
        characters += piece.characters if isinstance(piece, _Parsed) else 0
        if len(batch) >= _BATCH_DOCUMENTS or characters >= _BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    yield batch


def _piece(item: Incoming | Finished) -> Piece:
    if isinstance(item, Finished):
        return item
    try:
        return _Parsed(item.source, item.key, item.load())
    except DocumentError as error:
        return _Parsed(item.source, item.key, error)


def _item(piece: Piece) -> Item:
    if isinstance(piece, Finished):
        return piece
    return Incoming(piece.source, piece.load, piece.key)
