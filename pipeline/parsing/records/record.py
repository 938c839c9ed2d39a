"""One document among many: a row, a line, an object, a message, a member of an archive."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NoReturn

from mplus_ray.model.errors import DocumentError, InvalidInputError
from mplus_ray.pipeline.parsing.details import DETAILS, read_details
from mplus_ray.pipeline.parsing.document import Details, ParsedDocument
from mplus_ray.pipeline.parsing.limits import check_key
from mplus_ray.pipeline.parsing.refusals import Refusal
from mplus_ray.pipeline.parsing.text.checks import checked
from mplus_ray.pipeline.parsing.text.encodings import unix_lines

MAX_RECORD = 32 * 2**20  # bytes of one document among many
_DEEPEST = 64  # levels of metadata; much more cannot be written as JSON again
_TEXT_NAMES = ("text", "content", "body")
_OWN_NAMES = frozenset(["id", "title", "metadata"])
_ENDS = ("expires_at", "ttl")
_STRICT = "ndjson"  # what is sent to the service: there a field that cannot be read is a mistake


@dataclass(frozen=True)
class Record:
    """A part of a file of many documents.

    Attributes:
        number: its place, from 1; 0: the file itself, which cannot be read further.
        outcome: the document, or why there is none.
        id: what the file itself calls it.
        whole: it is all of the file, and goes by the file's name.
    """

    number: int
    outcome: ParsedDocument | DocumentError
    id: str | None = None
    whole: bool = False

    def load(self) -> ParsedDocument:
        """
        Raises:
            DocumentError: it is no document.
        """
        if isinstance(self.outcome, DocumentError):
            raise self.outcome
        return self.outcome


def parse_json(data: bytes, number: int, name: str, title: str, kind: str) -> Record:
    """`{"id"?, "title"?, "text", "metadata"?}`, with what `read_details` reads; other fields become
    metadata.

    Args:
        name: of the record, for errors.
        title: if it has none.
        kind: the format, for the metadata.
    """
    try:
        fields = json.loads(data.decode("utf-8-sig"), parse_constant=no_number)
    except UnicodeDecodeError as error:
        reason = f"{name} is not valid UTF-8 at byte {error.start}"
        return Record(number, DocumentError(reason, Refusal.ENCODING))
    except (ValueError, RecursionError) as error:
        return Record(number, DocumentError(f"{name} is not JSON: {error}", Refusal.MALFORMED))
    return record_of(fields, number, name, title, kind)


def record_of(fields: Any, number: int, name: str, title: str, kind: str) -> Record:
    """The record of an object that is read already."""
    try:
        if not isinstance(fields, dict):
            raise DocumentError(
                f'{name} is no JSON object; write {{"text": "…"}}, with "id", "title" and '
                '"metadata" if you like',
                Refusal.MALFORMED,
            )
        identity = _id(fields, name)
        return Record(number, _document(fields, name, title, kind), identity)
    except DocumentError as error:
        return Record(number, error)


def no_number(text: str) -> NoReturn:
    """What JSON has no word for: NaN and the infinities."""
    raise ValueError(f"{text} is no number that JSON knows")


def _document(fields: dict[str, Any], name: str, title: str, kind: str) -> ParsedDocument:
    named = next((key for key in _TEXT_NAMES if isinstance(fields.get(key), str)), None)
    if named is None:
        raise DocumentError(
            f'{name} has no "text" that is a string{_hint(fields)}', Refusal.MALFORMED
        )
    given = fields.get("title")
    if not isinstance(given, str | None):
        raise DocumentError(f'{name}: "title" is no string', Refusal.MALFORMED)
    metadata = fields.get("metadata")
    if not isinstance(metadata, dict | None):
        raise DocumentError(f'{name}: "metadata" is no object', Refusal.MALFORMED)
    details, read = _details(fields, name, strict=kind == _STRICT)
    rest = {key: fields[key] for key in fields.keys() - _OWN_NAMES - {named, *read}}
    document = document_of(fields[named], given or title, {**rest, **(metadata or {})}, name, kind)
    return replace(document, details=details)


def _details(fields: Mapping[str, Any], name: str, strict: bool) -> tuple[Details, tuple[str, ...]]:
    """What is said of it, and the names that it was read from. Whoever made a file may have meant
    something else by them; then they are metadata, as other fields are."""
    if fields.keys().isdisjoint(DETAILS):
        return Details(), ()
    now, read = time.time(), [name for name in DETAILS if name in fields]
    for each in [] if strict else read[:]:
        try:
            read_details({each: fields[each]}, now)
        except InvalidInputError:
            if each not in _ENDS:  # what is to be forgotten is not kept for ever
                read.remove(each)
    try:
        return read_details({each: fields[each] for each in read}, now), tuple(read)
    except InvalidInputError as error:
        raise DocumentError(f"{name}: {error}", Refusal.MALFORMED) from error


def _hint(fields: Mapping[str, Any]) -> str:
    if isinstance(fields.get("messages"), list):
        return '; of a conversation, write its turns into "text", one a line: "user: …"'
    others = ", ".join(sorted(map(str, fields)))[:200]
    return f'; "content" and "body" are read too (there are: {others})' if others else ""


def document_of(
    text: str, title: str, metadata: Mapping[str, Any], name: str, kind: str
) -> ParsedDocument:
    """A document of fields that somebody else named.

    Raises:
        DocumentError: there is no text, it is encoded data, or the metadata cannot be kept.
    """
    check_metadata(metadata, name)
    # The ledger keeps the headings under this name.
    own = {"_sections" if key == "sections" else key: value for key, value in metadata.items()}
    return checked(ParsedDocument(title, unix_lines(text), metadata=own), name, kind)


def check_metadata(metadata: Mapping[str, Any], name: str) -> None:
    """Refuse what could be read but never shown: a document with it would spoil every list.

    Raises:
        DocumentError: it has a number that is not finite, half a character, or too many levels.
    """
    if not metadata:
        return
    try:
        json.dumps(metadata, allow_nan=False, ensure_ascii=False).encode()
        deep = _is_deep(metadata)
    except (ValueError, RecursionError):  # also of half a character
        deep = True
    if deep:
        raise DocumentError(
            f"{name}: its metadata cannot be kept, because it has a number that is not finite, "
            f"half a character, or more than {_DEEPEST} levels; leave that out",
            Refusal.MALFORMED,
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
        raise DocumentError(
            f'{name}: "id" is neither a string nor a whole number', Refusal.IDENTITY
        )
    try:
        check_key(str(value))
    except InvalidInputError as error:
        raise DocumentError(f"{name}: {error}", Refusal.IDENTITY) from error
    return str(value)
