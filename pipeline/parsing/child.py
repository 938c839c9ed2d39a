"""A process that parses: what a file does to a parser, it does here and not to who asks for it.

It reads one order a line from standard input, `{"path", "name", "most", "seconds", "ocr"}`, and
answers with frames on standard output: four bytes of length, then JSON. A document is `{"number",
"id", "whole", "title", "text", "sections", "metadata", "left_out"}` or `{"number", "id", "error",
"reason"}`; `{}` ends a file, and says at the beginning that the process is ready. A record that
takes more seconds of this process's own time than it may ends the process by SIGPROF, however long
others kept it waiting.

    python -m mplus_ray.pipeline.parsing.child BYTES
"""

from __future__ import annotations

import json
import os
import resource
import signal
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from mplus_ray.model.errors import DocumentError, InvalidInputError
from mplus_ray.pipeline.parsing.document import ParsedDocument, Section
from mplus_ray.pipeline.parsing.formats.pdf.ocr import Ocr
from mplus_ray.pipeline.parsing.multi_document import holds_many, read_many
from mplus_ray.pipeline.parsing.parse import parse_bytes, read_bytes
from mplus_ray.pipeline.parsing.records.record import Record
from mplus_ray.pipeline.parsing.refusals import Refusal, RefusalCount

LENGTH = struct.Struct(">I")


def frames(path: str, name: str, most: int, ocr: str | None = None) -> Iterator[dict[str, Any]]:
    """The documents of one file, or why there is none.

    Args:
        name: what the client calls it.
        most: characters of one document.
        ocr: languages of pages that are pictures; None: they are refused.
    """
    try:
        for record in records_of(Path(path), name, Ocr(ocr) if ocr else None):
            yield _frame(record, most, name)
    except (DocumentError, InvalidInputError) as error:
        yield _refused(0, str(error), getattr(error, "reason", Refusal.IDENTITY))
    except MemoryError:
        said = f"{name} needs more memory than parsing may take; split it"
        yield _refused(0, said, Refusal.TOO_COSTLY)
    except OSError as error:
        yield _refused(0, f"{name} could not be read: {error.strerror}", Refusal.UNREADABLE)


def records_of(path: Path, name: str, ocr: Ocr | None) -> Iterator[Record]:
    """The documents of a file, in this process; a file of one gives one that is the whole.

    Raises:
        DocumentError: nothing can be taken from it, or nothing more.
    """
    if holds_many(name):
        with path.open("rb") as file:
            yield from read_many(file, name, ocr)
    else:
        yield Record(1, parse_bytes(read_bytes(path, name), name, ocr), whole=True)


def _frame(record: Record, most: int, name: str) -> dict[str, Any]:
    outcome = record.outcome
    if isinstance(outcome, DocumentError):
        return _refused(record.number, str(outcome), outcome.reason, record.id)
    if len(outcome.text) > most:
        said = f"{name} has {len(outcome.text):,} characters; {most:,} are allowed: split it"
        return _refused(record.number, said, Refusal.TOO_LARGE, record.id)
    return {
        "number": record.number,
        "id": record.id,
        "whole": record.whole,
        "title": outcome.title,
        "text": outcome.text,
        "sections": [[s.title, s.level, s.start] for s in outcome.sections],
        "metadata": outcome.metadata,
        "left_out": [[one.kind, one.reason, one.count] for one in outcome.left_out],
    }


def _refused(number: int, error: str, reason: str, id_: str | None = None) -> dict[str, Any]:
    return {"number": number, "id": id_, "error": error, "reason": reason}


def record_of_frame(frame: dict[str, Any]) -> Record:
    """What a frame says."""
    if "error" in frame:
        return Record(frame["number"], DocumentError(frame["error"], frame["reason"]), frame["id"])
    sections = tuple(Section(*section) for section in frame["sections"])
    left_out = tuple(RefusalCount(*each) for each in frame["left_out"])
    document = ParsedDocument(frame["title"], frame["text"], sections, frame["metadata"], left_out)
    return Record(frame["number"], document, frame["id"], frame["whole"])


def serve(orders: BinaryIO, answers: BinaryIO) -> None:
    """Say that all is imported, then answer orders until there are no more."""
    _write(answers, {})
    for line in orders:
        order = json.loads(line)
        seconds = order["seconds"]
        _allow(seconds)
        for frame in frames(order["path"], order["name"], order["most"], order["ocr"]):
            _allow(0)
            _write(answers, frame)
            _allow(seconds)
        _allow(0)
        _write(answers, {})


def _allow(seconds: float) -> None:
    """So much of this process's own time from now on; 0: any. Its end is the signal's."""
    signal.setitimer(signal.ITIMER_PROF, seconds)


def _write(answers: BinaryIO, frame: dict[str, Any]) -> None:
    data = json.dumps(frame).encode()
    answers.write(LENGTH.pack(len(data)) + data)
    answers.flush()


def main() -> None:
    most = int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a parser prints is no answer
    serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
