"""A process that parses uploads: what a file does to a parser, it does here and not to the API.

It reads one order a line from standard input, `{"path", "name", "most"}`, and answers with
frames on standard output: four bytes of length, then JSON. A document is `{"number", "id", "title",
"text", "sections", "metadata"}` or `{"number", "error"}`; `{}` ends a file, and says at the
beginning that the process is ready.

    python -m mplus_ray.services.api.ingest.parser_process BYTES
"""

from __future__ import annotations

import json
import os
import resource
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from mplus_ray.model.errors import DocumentError
from mplus_ray.pipeline.parsing.document import ParsedDocument
from mplus_ray.pipeline.parsing.multi_document import holds_many, read_many
from mplus_ray.pipeline.parsing.parse import parse_bytes

_LENGTH = struct.Struct(">I")


def frames(path: str, name: str, most: int) -> Iterator[dict[str, Any]]:
    """The documents of one file, or why there is none.

    Args:
        name: what the client calls it.
        most: characters of one document.
    """
    try:
        if holds_many(name):
            with Path(path).open("rb") as file:
                for record in read_many(file, name):
                    yield _frame(record.number, record.outcome, most, name, record.id)
        else:
            yield _frame(1, parse_bytes(Path(path).read_bytes(), name), most, name)
    except DocumentError as error:
        yield {"number": 0, "error": str(error)}
    except MemoryError:
        yield {"number": 0, "error": f"{name} needs more memory than parsing may take; split it"}
    except OSError as error:
        yield {"number": 0, "error": f"{name} could not be read: {error.strerror}"}


def _frame(
    number: int,
    outcome: ParsedDocument | DocumentError,
    most: int,
    name: str,
    key: str | None = None,
) -> dict[str, Any]:
    if isinstance(outcome, DocumentError):
        return {"number": number, "error": str(outcome)}
    if len(outcome.text) > most:
        said = f"{name} has {len(outcome.text):,} characters; {most:,} are allowed: split it"
        return {"number": number, "error": said}
    return {
        "number": number,
        "id": key,
        "title": outcome.title,
        "text": outcome.text,
        "sections": [[s.title, s.level, s.start] for s in outcome.sections],
        "metadata": outcome.metadata,
    }


def serve(orders: BinaryIO, answers: BinaryIO) -> None:
    """Say that all is imported, then answer orders until there are no more."""
    _write(answers, {})
    for line in orders:
        order = json.loads(line)
        for frame in frames(order["path"], order["name"], order["most"]):
            _write(answers, frame)
        _write(answers, {})


def _write(answers: BinaryIO, frame: dict[str, Any]) -> None:
    data = json.dumps(frame).encode()
    answers.write(_LENGTH.pack(len(data)) + data)
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
