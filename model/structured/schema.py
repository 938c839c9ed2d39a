"""JSON Schemas that somebody sent: whether they can be followed, and whether a value is of one.

llguidance reads them, here over single bytes: what it cannot follow is refused before anything is
read, and what it accepts is checked in linear time, patterns too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any
from urllib.parse import unquote

from llguidance import LLMatcher, LLTokenizer, TokenizerWrapper

from mplus_ray.model.errors import InvalidInputError
from mplus_ray.model.structured.limits import parser_limits, reason

MOST_CHARACTERS = 65_536
DEEPEST = 16
MOST_PARTS = 1_000  # objects and lists in a schema


class SchemaError(InvalidInputError):
    """A JSON Schema cannot be followed."""


class Schema:
    """A JSON Schema that can be followed.

    Attributes:
        source: as it was sent.
    """

    def __init__(self, source: Any) -> None:
        """
        Raises:
            SchemaError: it is none, is too large, or has what cannot be followed.
        """
        if not isinstance(source, dict):
            raise SchemaError("a JSON Schema is an object")
        _measure(source, 1, [0])
        text = json.dumps(source)
        if len(text) > MOST_CHARACTERS:
            raise SchemaError(f"{len(text):,} characters; {MOST_CHARACTERS:,} are allowed")
        self.source: dict[str, Any] = source
        self._matcher = _compiled(text)

    def accepts(self, value: Any) -> bool:
        """Whether a value, with its fields in the schema's order, is of this schema."""
        sent = list(json.dumps(value, ensure_ascii=False).encode())
        matcher = self._matcher.deep_copy()
        return matcher.try_consume_tokens(sent) == len(sent) and matcher.is_accepting()

    def accepts_at(self, part: Mapping[str, Any], value: Any) -> bool:
        """Whether a value is of a part of this schema, which may refer to its definitions."""
        matcher = self.compiled(part)
        sent = list(json.dumps(value, ensure_ascii=False).encode())
        return matcher.try_consume_tokens(sent) == len(sent) and matcher.is_accepting()

    def compiled(self, part: Mapping[str, Any]) -> LLMatcher:
        """A part of this schema by itself.

        Raises:
            SchemaError: it refers to what is not among the definitions.
        """
        own = json.dumps(part)
        return _compiled(json.dumps(self.with_definitions(part)) if '"$ref"' in own else own)

    def with_definitions(self, part: Mapping[str, Any]) -> dict[str, Any]:
        """A part as a schema of its own."""
        shared = {name: self.source[name] for name in _SHARED if name in self.source}
        return {**shared, **part}

    def resolved(self, part: Any) -> dict[str, Any]:
        """A part with what it refers to in its place; what is said beside a reference counts."""
        return self.followed(part)[0]

    def followed(self, part: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
        """A part as `resolved` has it, and the references that led there."""
        seen, references = 0, list[str]()
        while isinstance(part, dict) and ("$ref" in part or _lone(part)):
            seen += 1
            if seen > DEEPEST:
                raise SchemaError("a $ref leads back to itself")
            beside = {name: said for name, said in part.items() if name not in ("$ref", "allOf")}
            if "$ref" in part:
                references.append(part["$ref"])
                target = self._at(part["$ref"])
            else:
                target = part["allOf"][0]
            part = {**target, **beside} if isinstance(target, dict) else target
        return (part if isinstance(part, dict) else {}), tuple(references)

    def _at(self, reference: str) -> Any:
        found: Any = self.source
        for name in unquote(reference).removeprefix("#").strip("/").split("/"):
            if name:
                name = name.replace("~1", "/").replace("~0", "~")
                try:
                    found = found[int(name)] if isinstance(found, list) else found[name]
                except (LookupError, TypeError, ValueError) as error:  # by an $id or an $anchor
                    raise SchemaError(
                        f"{reference[:80]!r} is no path from the schema's root, as in #/$defs/…"
                    ) from error
        return found


_SHARED = ("$defs", "definitions")


def _lone(part: dict[str, Any]) -> bool:
    return isinstance(part.get("allOf"), list) and len(part["allOf"]) == 1


def _compiled(schema: str) -> LLMatcher:
    grammar = LLMatcher.grammar_from_json_schema(schema)
    matcher = LLMatcher(_bytes(), grammar, log_level=0, limits=parser_limits())
    if matcher.is_error():
        raise SchemaError(reason(matcher))
    return matcher


def _measure(part: Any, depth: int, count: list[int]) -> None:
    if not isinstance(part, (dict, list)):
        return
    count[0] += 1
    if depth > 2 * DEEPEST or count[0] > MOST_PARTS:
        raise SchemaError(
            f"it is too large: {DEEPEST} levels of fields and {MOST_PARTS:,} objects and lists in "
            "all are allowed"
        )
    for each in part.values() if isinstance(part, dict) else part:
        _measure(each, depth + 1, count)


class _Bytes:
    """A tokenizer whose tokens are bytes, and an end."""

    eos_token_id = 256
    bos_token_id = None
    tokens = (*(bytes([byte]) for byte in range(256)), b"\xff<end>")
    special_token_ids = (256,)

    def __call__(self, text: bytes) -> list[int]:
        return list(text)


@cache
def _bytes() -> LLTokenizer:
    return LLTokenizer(TokenizerWrapper(_Bytes()), slices=[])
