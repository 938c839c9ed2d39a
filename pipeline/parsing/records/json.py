"""A JSON file: an array of documents, one document, or other values."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from mplus_ray.model.errors import DocumentError
from mplus_ray.pipeline.parsing.document import ParsedDocument
from mplus_ray.pipeline.parsing.formats.data import value_text
from mplus_ray.pipeline.parsing.records.jsonl import read_jsonl
from mplus_ray.pipeline.parsing.records.record import Record, no_number, record_of
from mplus_ray.pipeline.parsing.refusals import Refusal
from mplus_ray.pipeline.parsing.text.checks import checked
from mplus_ray.pipeline.parsing.text.encodings import decode

_MOST = 64 * 2**20  # bytes: all of it is in memory at once
_TEXT_NAMES = frozenset(["text", "content", "body"])


def read_json(file: BinaryIO, name: str) -> Iterator[Record]:
    """The objects of an array, one document each; anything else is one document.

    Raises:
        DocumentError: it is too large, or no JSON.
    """
    data = file.read(_MOST + 1)
    if len(data) > _MOST:
        raise DocumentError(
            f"{name} is larger than {_MOST // 2**20} MiB, and all of it would be in memory at "
            "once; write one object a line, as .jsonl",
            Refusal.TOO_LARGE,
        )
    try:
        value = json.loads(decode(data, name), parse_constant=no_number)
    except (ValueError, RecursionError) as error:
        if _is_lines(data) or Path(name).suffix.lower() in (".jsonl", ".ndjson"):
            file.seek(0)
            yield from read_jsonl(file, name)
            return
        raise DocumentError(
            f"{name} is not JSON: {error}; of one object a line, name it .jsonl", Refusal.MALFORMED
        ) from error
    stem = Path(name).stem
    if isinstance(value, list) and value and all(isinstance(each, dict) for each in value):
        for number, fields in enumerate(value, 1):
            yield _object(fields, number, f"{name}, object {number}", f"{stem} {number}")
        return
    if isinstance(value, dict) and _is_document(value):
        record = record_of(value, 1, name, stem, "json")
        yield Record(1, record.outcome, record.id, whole=record.id is None)
        return
    parsed = ParsedDocument(stem, value_text(value, name))
    yield Record(1, checked(parsed, name, "json", len(data)), whole=True)


def _is_lines(data: bytes) -> bool:
    """Whether its first line is an object of its own, and not the last."""
    line, _, rest = data.partition(b"\n")
    try:
        return bool(rest.strip()) and isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _is_document(fields: dict[str, Any]) -> bool:
    return any(isinstance(fields.get(key), str) for key in _TEXT_NAMES)


def _object(fields: dict[str, Any], number: int, where: str, title: str) -> Record:
    if _is_document(fields):
        return record_of(fields, number, where, title, "json")
    rest = {key: value for key, value in fields.items() if key not in ("id", "title")}
    known = {key: fields[key] for key in ("id", "title") if isinstance(fields.get(key), str | int)}
    try:
        text = value_text(rest, where)
    except DocumentError as error:
        return Record(number, error)
    return record_of({**known, "text": text}, number, where, title, "json")
