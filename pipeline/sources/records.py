"""One file to what is in it: a document, or many under names such as `faq.csv#17`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import BinaryIO

from mplus_ray.model.errors import DocumentError
from mplus_ray.pipeline.ledger.documents.append import short
from mplus_ray.pipeline.parsing.document import ParsedDocument
from mplus_ray.pipeline.parsing.multi_document import holds_many, read_many
from mplus_ray.pipeline.parsing.records import Record
from mplus_ray.pipeline.sources.source import Finished, Incoming


@dataclass(frozen=True)
class OneFile:
    """A file wherever it lies.

    Attributes:
        name: as people know it, and the id of its document.
        source: names it so that it can be read again.
        load: the document of a file that holds one.
        open: the bytes of a file that holds many, seekable; may raise a DocumentError.
        only: places of the wanted records; None: all.
        key: the document's id; None: its source.
    """

    name: str
    source: str
    load: Callable[[], ParsedDocument]
    open: Callable[[], AbstractContextManager[BinaryIO]]
    key: str | None = None
    only: Collection[int] | None = None

    def items(self) -> Iterator[Incoming | Finished]:
        """Its documents; what is wrong with the file is a failure of the file."""
        if not holds_many(self.name):
            yield Incoming(self.source, self.load, self.key)
            return
        missing = set(self.only or ())
        try:
            with self.open() as file:
                for record in read_many(file, self.name):
                    if self.only is None or record.number in missing:
                        missing.discard(record.number)
                        yield self._incoming(record)
        except DocumentError as error:
            yield broken(self.source, error)
            return
        for number in sorted(missing):
            yield broken(
                f"{self.source}#{number}",
                DocumentError(
                    f"{self.name} has no record {number} any more; strike it off with "
                    "`mplus documents retry --drop`"
                ),
            )
        yield Finished(self.source)

    def _incoming(self, record: Record) -> Incoming:
        key = short(f"{self.name}#{record.id or record.number}")
        return Incoming(f"{self.source}#{record.number}", record.load, key)


def broken(source: str, error: DocumentError) -> Incoming:
    """What cannot be read, to be noted with its reason."""

    def load() -> ParsedDocument:
        raise error

    return Incoming(source, load)
