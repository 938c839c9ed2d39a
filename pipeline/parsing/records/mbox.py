"""A mailbox: one document a message."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from mplus_ray.model.errors import DocumentError
from mplus_ray.pipeline.parsing.document import ParsedDocument
from mplus_ray.pipeline.parsing.records.messages import messages
from mplus_ray.pipeline.parsing.records.record import MAX_RECORD, Record
from mplus_ray.pipeline.parsing.refusals import Refusal


def read_mbox(
    file: BinaryIO, name: str, parse: Callable[[bytes, str], ParsedDocument]
) -> Iterator[Record]:
    """The messages, one in memory at a time.

    Args:
        parse: for one of them.
    """
    stem = Path(name).stem
    for number, data in enumerate(messages(file), 1):
        try:
            if data is None:
                raise DocumentError(
                    f"{name}, message {number} is longer than {MAX_RECORD // 2**20} MiB; save it "
                    "as a file of its own",
                    Refusal.TOO_LARGE,
                )
            yield Record(number, parse(data, f"{stem} {number}.eml"))
        except DocumentError as error:
            yield Record(number, error)
