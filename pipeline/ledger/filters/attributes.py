"""What filters look at of a document: its session, tags and metadata as rows of (name, value)."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from mplus_ray.pipeline.parsing.document import Details
from mplus_ray.pipeline.parsing.document_id import storable

SESSION, TAG, METADATA = "session", "tag", "metadata."
HASHED = "sha256:"  # what stands for a long value begins so
_LONGEST = 200  # characters of a value; of longer ones there is a hash, which can be equal
_NAME = 200
_NUMBER = re.compile(r"-?\d{1,30}(\.\d{1,30})?([eE][-+]?\d{1,3})?", re.ASCII)


def attributes_of(metadata: Mapping[str, Any], details: Details) -> list[dict[str, Any]]:
    """Rows of `attributes` of one document, without its id."""
    named = [(name_of(path), value) for path, value in _flat("", metadata)]
    named += [(TAG, tag) for tag in details.tags]
    if details.session is not None:
        named.append((SESSION, details.session))
    rows = {(name, value_of(value)): value for name, value in named}
    return [
        {"name": name, "value": text, "number": number_of(value)}
        for (name, text), value in rows.items()
    ]


def own_metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """What its owner wrote of a document: without the headings that the ledger keeps there."""
    return {name: value for name, value in metadata.items() if name != "sections"}


def name_of(path: str) -> str:
    """The name of a field of the metadata; of a long path one that tells it from others."""
    name = METADATA + storable(path)
    if len(name) <= _NAME:
        return name
    return f"{name[:_NAME]}…{hashlib.sha256(path.encode('utf-8', 'replace')).hexdigest()}"


def value_of(value: str | float | bool) -> str:
    """A value as it is compared: 5, 5.0 and "5" are the same."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e22:
        value = int(value)
    text = storable(str(value))
    if len(text) <= _LONGEST:
        return text
    return HASHED + hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def number_of(value: str | float | bool) -> float | None:
    """A value as a number, also one that is written as a text; None if it is none."""
    if isinstance(value, bool) or (isinstance(value, str) and not _NUMBER.fullmatch(value)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _flat(above: str, metadata: Mapping[str, Any]) -> Iterator[tuple[str, str | float | bool]]:
    """(path, value) of everything that is no object; each entry of a list by itself."""
    for name, value in metadata.items():
        path = f"{above}{name}"
        if isinstance(value, Mapping):
            yield from _flat(f"{path}.", value)
            continue
        entries: Iterable[Any] = value if isinstance(value, list | tuple) else (value,)
        for entry in entries:
            if isinstance(entry, Mapping):
                yield from _flat(f"{path}.", entry)
            elif isinstance(entry, str | int | float):
                yield path, entry
