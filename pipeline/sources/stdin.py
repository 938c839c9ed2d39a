"""Standard input, or any other stream, as newline-delimited JSON."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from mplus_ray.model.errors import DocumentError
from mplus_ray.pipeline.parsing.records.jsonl import bounded_lines, too_long
from mplus_ray.pipeline.parsing.records.record import Record, parse_json
from mplus_ray.pipeline.sources.buffered_stream import arriving
from mplus_ray.pipeline.sources.records import broken
from mplus_ray.pipeline.sources.source import Incoming, Item

_NAME = "standard input"


@dataclass(frozen=True)
class JsonLines:
    """One document a line, in one pass: `{"id"?, "title"?, "text", "metadata"?}`.

    The id of a document that names none is a hash of its line, so that the same stream again
    finds it. A bad line is a failure with its number, and cannot be read again. Lines that have
    arrived together become durable together; one after which nothing has come yet does at once.

    Attributes:
        stream: of bytes.
    """

    stream: BinaryIO
    endless = False

    def __iter__(self) -> Iterator[Item]:
        pipe = arriving(self.stream)
        for number, line in bounded_lines(pipe or self.stream):
            where = f"{_NAME}, line {number}"
            if line is None:
                yield broken(where, gone(too_long(where)), "line")
                continue
            mark = hashlib.sha256(line.strip()).hexdigest()[:32]
            record = parse_json(line, number, where, f"line {number}", "ndjson")
            # With the mark, so that a line of another stream does not replace the note of this.
            lone = pipe is not None and not pipe.ready
            yield incoming(record, f"{where} ({mark[:8]})", f"stdin:{mark}", lone)


def incoming(record: Record, source: str, key: str, lone: bool = True) -> Incoming:
    """A document of a stream.

    Args:
        key: its id if it names none itself.
        lone: nothing that came with it waits, and nobody knows when something will.
    """
    if isinstance(record.outcome, DocumentError):
        return broken(source, gone(record.outcome), "line")
    return Incoming(source, record.load, record.id or key, prompt=lone, kind="line")


def gone(error: DocumentError) -> DocumentError:
    """A failure of something that passed by."""
    return DocumentError(
        f"{error}; a stream cannot be read again: hand it in once more, then strike it off with "
        "`mplus documents retry --drop`",
        error.reason,
    )
