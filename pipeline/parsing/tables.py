"""Which columns of a table are a document's text, title and id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mplus_ray.model.errors import DocumentError
from mplus_ray.pipeline.parsing.records import MAX_RECORD, Record, document_of

_TEXT_NAMES = ("text", "content", "body")


@dataclass(frozen=True)
class Columns:
    """The names of a table's columns; the others become metadata.

    Attributes:
        text: of the document's text.
        title, id: of its title and its id; None without one.
    """

    text: str
    title: str | None
    id: str | None

    @classmethod
    def choose(cls, names: Sequence[str], sample: Mapping[str, int], table: str) -> Columns:
        """By name; without a text column of a known name, the longest one.

        Args:
            sample: characters in the first rows of each column that has text.

        Raises:
            DocumentError: no column has text.
        """
        folded = {name.strip().lower(): name for name in reversed(names)}
        text = next((folded[name] for name in _TEXT_NAMES if name in folded), None)
        if text is None:
            rest = {n: size for n, size in sample.items() if n.strip().lower() not in _OTHER_NAMES}
            text = max(rest, key=rest.__getitem__, default=None)
        if text is None:
            raise DocumentError(
                f"{table} has no column with text; name one of them `text` "
                f"(there are: {', '.join(names)[:200]})"
            )
        return cls(text, folded.get("title"), folded.get("id"))

    def record(
        self, row: Mapping[str, Any], number: int, table: str, title: str, kind: str
    ) -> Record:
        """The document of one row.

        Args:
            title: if the row has none.
            kind: the format, for the metadata.
        """
        where = f"{table}, row {number}"
        known = {self.text, self.title, self.id}
        metadata = {name: value for name, value in row.items() if name not in known}
        given = row.get(self.title) if self.title else None
        id_ = row.get(self.id) if self.id else None
        try:
            text = _text(row[self.text], where)
            document = document_of(text, str(given or title), metadata, where, kind)
        except DocumentError as error:
            return Record(number, error)
        return Record(number, document, None if id_ in (None, "") else str(id_))


_OTHER_NAMES = frozenset(("title", "id"))


def _text(value: Any, where: str) -> str:
    if value is None:
        raise DocumentError(f"{where} holds no text, so there is nothing to memorize")
    text = str(value)
    if len(text) > MAX_RECORD:
        raise DocumentError(f"{where} is longer than {MAX_RECORD // 2**20} MiB; split the document")
    return text
