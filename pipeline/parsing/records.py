"""One document as a JSON object, and what files of many documents give."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from mplus_ray.model.errors import DocumentError
from mplus_ray.pipeline.parsing.checks import checked
from mplus_ray.pipeline.parsing.document import ParsedDocument

MAX_RECORD = 32 * 2**20  # bytes of one document among many
_DEEPEST = 64  # levels of metadata; much more cannot be written as JSON again


@dataclass(frozen=True)
class Record:
    """A row or a line of a file of many documents.

    Attributes:
        number: its place, from 1.
        outcome: the document, or why there is none.
        id: what the file itself calls it.
    """

    number: int
    outcome: ParsedDocument | DocumentError
    id: str | None = None

    def load(self) -> ParsedDocument:
        """
        Raises:
            DocumentError: it is no document.
        """
        if isinstance(self.outcome, DocumentError):
            raise self.outcome
        return self.outcome


def parse_json(data: bytes, number: int, name: str, title: str, kind: str) -> Record:
    """`{"id"?, "title"?, "text", "metadata"?}`; other fields become metadata.

    Args:
        name: of the record, for errors.
        title: if it has none.
        kind: the format, for the metadata.
    """
    try:
        fields = _fields(data, name)
        return Record(number, _document(fields, name, title, kind), _id(fields, name))
    except DocumentError as error:
        return Record(number, error)


def _fields(data: bytes, name: str) -> dict[str, Any]:
    try:
        fields = json.loads(data.decode("utf-8-sig"), parse_constant=_no_number)
    except UnicodeDecodeError as error:
        raise DocumentError(f"{name} is not valid UTF-8 at byte {error.start}") from error
    except (ValueError, RecursionError) as error:
        raise DocumentError(f"{name} is not JSON: {error}") from error
    if not isinstance(fields, dict):
        raise DocumentError(
            f'{name} is no JSON object; write {{"text": "…"}}, with "id", "title" and "metadata" '
            "if you like"
        )
    return fields


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number that JSON knows")


def _document(fields: dict[str, Any], name: str, title: str, kind: str) -> ParsedDocument:
    text = fields.get("text")
    if not isinstance(text, str):
        raise DocumentError(f'{name} has no "text" that is a string')
    given = fields.get("title")
    if not isinstance(given, str | None):
        raise DocumentError(f'{name}: "title" is no string')
    metadata = fields.get("metadata")
    if not isinstance(metadata, dict | None):
        raise DocumentError(f'{name}: "metadata" is no object')
    rest = {key: fields[key] for key in fields.keys() - {"id", "title", "text", "metadata"}}
    return document_of(text, given or title, {**rest, **(metadata or {})}, name, kind)


def document_of(
    text: str, title: str, metadata: Mapping[str, Any], name: str, kind: str
) -> ParsedDocument:
    """A document of fields that somebody else named.

    Raises:
        DocumentError: there is no text, it is encoded data, or the metadata cannot be kept.
    """
    _check_metadata(metadata, name)
    # The ledger keeps the headings under this name.
    own = {"_sections" if key == "sections" else key: value for key, value in metadata.items()}
    return checked(ParsedDocument(title, text, metadata=own), name, kind)


def _check_metadata(metadata: Mapping[str, Any], name: str) -> None:
    """Refuse what could be read but never shown: a document with it would spoil every list."""
    try:
        json.dumps(metadata, allow_nan=False, ensure_ascii=False).encode()
        deep = _is_deep(metadata)
    except (ValueError, RecursionError):  # also of half a character
        deep = True
    if deep:
        raise DocumentError(
            f"{name}: its metadata cannot be kept, because it has a number that is not finite, "
            f"half a character, or more than {_DEEPEST} levels; leave that out"
        )


def _is_deep(metadata: Mapping[str, Any]) -> bool:
    level: list[Any] = [metadata]
    for _ in range(_DEEPEST):
        inner = [each.values() if isinstance(each, Mapping) else each for each in level]
        level = [one for each in inner for one in each if isinstance(one, dict | list)]
        if not level:
            return False
    return True


def _id(fields: dict[str, Any], name: str) -> str | None:
    value = fields.get("id")
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise DocumentError(f'{name}: "id" is neither a string nor a whole number')
    return str(value)
