"""A file of many documents as one: where it is attached to a message, or called something else."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mplus_ray.model.errors import DocumentError
from mplus_ray.pipeline.parsing.document import ParsedDocument
from mplus_ray.pipeline.parsing.records.record import Record
from mplus_ray.pipeline.parsing.refusals import Refusals, kind_of_name
from mplus_ray.pipeline.parsing.text.builder import TextBuilder


def joined(records: Iterable[Record], name: str) -> ParsedDocument:
    """Texts one after the other; those that have a name of their own under it.

    Raises:
        DocumentError: there is none, for the reason of the first.
    """
    builder, refusals = TextBuilder(), Refusals()
    first: DocumentError | None = None
    for record in records:
        try:
            document = record.load()
        except DocumentError as error:
            first = first or error
            refusals.note(kind_of_name(f"{name}#{record.id or record.number}"), error)
            continue
        if record.id and not record.whole:
            builder.heading(record.id, 1)
        builder.verbatim(document.text)
        refusals.include(document.left_out)
    if builder.empty and first is not None:
        raise first
    text, sections = builder.finish()
    return ParsedDocument(Path(name).stem, text, sections, left_out=tuple(refusals.listed()))
