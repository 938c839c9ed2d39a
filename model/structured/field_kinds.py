"""What kind of field a part of a schema is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from mplus_ray.model.structured.schema import Schema

Kind = Literal["constant", "object", "list", "scalar", "variants", "json"]
SCALARS = frozenset({"string", "number", "integer", "boolean"})
_NOTHING = {"type": "null"}


@dataclass(frozen=True)
class Part:
    """A part of a schema, with what it refers to in its place.

    Attributes:
        schema: itself, without null.
        nullable: whether null is of it, too.
        kind: how it is filled; "json" is what cannot be asked field by field.
        variants: of kind "variants", one of which it has to be.
        references: that led here, from the outermost.
    """

    schema: Mapping[str, Any]
    nullable: bool
    kind: Kind
    variants: tuple[Mapping[str, Any], ...] = ()
    references: tuple[str, ...] = ()

    @property
    def choices(self) -> list[Any]:
        return [choice for choice in self.schema.get("enum", ()) if choice is not None]


def part_of(schema: Schema, raw: Any, references: tuple[str, ...] = ()) -> Part:
    """Look at a part of a schema.

    Args:
        references: that led to it.
    """
    found, through = schema.followed(raw)
    references = (*references, *through)
    if len(set(references)) < len(references):
        return Part(found, False, "json", (), references)  # it holds its like, for ever
    others = found.get("anyOf") or found.get("oneOf")
    if others:
        beside = {name: said for name, said in found.items() if name not in ("anyOf", "oneOf")}
        left = [each for each in others if schema.resolved(each) != _NOTHING]
        nullable = len(left) < len(others)
        if len(left) == 1:
            one = left[0] if isinstance(left[0], dict) else {}
            inner = part_of(schema, {**one, **beside}, references)
            nullable = nullable or inner.nullable
            return Part(inner.schema, nullable, inner.kind, inner.variants, inner.references)
        return Part(beside, nullable, "variants", tuple(left), references)
    kinds = found.get("type")
    if isinstance(kinds, list):
        left = [kind for kind in kinds if kind != "null"]
        variants = tuple({**found, "type": kind} for kind in left)
        nullable = len(left) < len(kinds)
        if len(left) != 1:
            return Part(found, nullable, "variants" if left else "json", variants, references)
        found = dict(variants[0])
    else:
        nullable = kinds == "null"
    nullable = nullable or None in found.get("enum", ())
    return Part(found, nullable, _kind(found), (), references)


def _kind(found: Mapping[str, Any]) -> Kind:
    if "const" in found or len(found.get("enum", ())) == 1:
        return "constant"
    if "enum" in found:
        plain = all(isinstance(each, str | int | float | None) for each in found["enum"])
        return "scalar" if plain else "json"
    kind = found.get("type")
    if kind == "object" or "properties" in found:
        mapped = (
            not found.get("properties") and found.get("additionalProperties", True) is not False
        )
        return "json" if mapped and "properties" not in found else "object"
    if kind == "array":
        return "json" if "prefixItems" in found else "list"
    return "scalar" if kind in SCALARS or (kind is None and "allOf" not in found) else "json"
