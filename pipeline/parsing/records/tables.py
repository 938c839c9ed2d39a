"""Which columns of a table are a document's text, title and id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mplus_ray.model.errors import DocumentError, InvalidInputError
from mplus_ray.pipeline.parsing.limits import check_key
from mplus_ray.pipeline.parsing.records.record import MAX_RECORD, Record, document_of
from mplus_ray.pipeline.parsing.refusals import Refusal
from mplus_ray.pipeline.parsing.text.sentences import sentence

_TEXT_NAMES = ("text", "content", "body")
_OTHER_NAMES = frozenset(("title", "id"))
_LONG = 20  # characters of a field, on average, from which a column is running text
_TIMES = 4  # as much text as in the next column


@dataclass(frozen=True)
class Columns:
    """The names of a table's columns.

    Attributes:
        text: the column that is the document; None: a row becomes one sentence.
        title, id: None: there are none.
    """

    text: str | None
    title: str | None
    id: str | None

    @classmethod
    def choose(
        cls, names: Sequence[str], sample: Mapping[str, int], table: str, rows: int = 1
    ) -> Columns:
        """By name; without a text column of a known name, the one that has running text.

        Args:
            sample: characters in the first rows of each column that has text.
            rows: how many these are.

        Raises:
            DocumentError: no column has text.
        """
        folded = {name.strip().lower(): name for name in reversed(names)}
        text = next((folded[name] for name in _TEXT_NAMES if name in folded), None)
        if text is None:
            if not any(sample.values()) and not any(n.strip() for n in names):
                raise DocumentError(
                    f"{table} has no column with text; name one of them `text` "
                    f"(there are: {', '.join(names)[:200]})",
                    Refusal.MALFORMED,
                )
            rest = {n: size for n, size in sample.items() if n.strip().lower() not in _OTHER_NAMES}
            text = _running_text(rest, rows)
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
        given = row.get(self.title) if self.title else None
        id_ = row.get(self.id) if self.id else None
        try:
            key = None if id_ in (None, "") else str(id_)
            if key is not None:
                check_key(key)
            if self.text is None:
                text, metadata = self._sentence(row), {}
            else:
                text = _text(row.get(self.text), where)
                known = {self.text, self.title, self.id}
                metadata = {name: value for name, value in row.items() if name not in known}
            document = document_of(text, str(given or title), metadata, where, kind)
        except DocumentError as error:
            return Record(number, error)
        except InvalidInputError as error:
            return Record(number, DocumentError(f"{where}: {error}", Refusal.IDENTITY))
        return Record(number, document, key)

    def _sentence(self, row: Mapping[str, Any]) -> str:
        """All of a row, so that questions reach all of it."""
        return sentence((name, str(value)) for name, value in row.items() if value is not None)


def _running_text(sizes: Mapping[str, int], rows: int) -> str | None:
    """The column whose fields are sentences, while those of the others are not."""
    ordered = sorted(sizes, key=sizes.__getitem__, reverse=True)
    if not ordered:
        return None
    first = sizes[ordered[0]]
    second = sizes[ordered[1]] if len(ordered) > 1 else 0
    return ordered[0] if first >= _LONG * max(rows, 1) and first >= _TIMES * second else None


def _text(value: Any, where: str) -> str:
    if value is None:
        raise DocumentError(
            f"{where} holds no text, so there is nothing to memorize", Refusal.EMPTY
        )
    text = str(value)
    if len(text) > MAX_RECORD:
        raise DocumentError(
            f"{where} is longer than {MAX_RECORD // 2**20} MiB; split the document",
            Refusal.TOO_LARGE,
        )
    return text
