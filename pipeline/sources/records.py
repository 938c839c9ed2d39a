"""One file to what is in it: a document, or many under names such as `faq.csv#17`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from mplus_ray.model.errors import DocumentError
from mplus_ray.pipeline.parsing.document import ParsedDocument
from mplus_ray.pipeline.parsing.document_id import id_of_name
from mplus_ray.pipeline.parsing.multi_document import holds_many
from mplus_ray.pipeline.parsing.records.record import Record
from mplus_ray.pipeline.parsing.refusals import Refusal
from mplus_ray.pipeline.sources.source import Finished, Incoming


@dataclass(frozen=True)
class OneFile:
    """A file wherever it lies.

    Attributes:
        name: as people know it, and the id of its document.
        source: names it so that it can be read again.
        load: the document of a file that holds one.
        records: the documents of a file that holds many; may raise a DocumentError.
        only: places of the wanted records; None: all.
        key: the document's id; None: its source.
    """

    name: str
    source: str
    load: Callable[[], ParsedDocument]
    records: Callable[[], Iterator[Record]]
    key: str | None = None
    only: Collection[int] | None = None

    def items(self) -> Iterator[Incoming | Finished]:
        """Its documents; what is wrong with the file is a failure of the file."""
        if not holds_many(self.name):
            yield Incoming(self.source, self.load, self.key)
            return
        missing = set(self.only or ())
        try:
            for record in self.records():
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
                    "`mplus documents retry --drop`",
                    Refusal.GONE,
                ),
            )
        yield Finished(self.source)

    def _incoming(self, record: Record) -> Incoming:
        if record.whole:
            return Incoming(self.source, record.load, self.key)
        key = id_of_name(f"{self.name}#{record.id or record.number}")
        return Incoming(f"{self.source}#{record.number}", record.load, key)


def broken(source: str, error: DocumentError, kind: str | None = None) -> Incoming:
    """What cannot be read, to be noted with its reason."""

    def load() -> ParsedDocument:
        raise error

    return Incoming(source, load, kind=kind)
