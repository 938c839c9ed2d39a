"""An object filled field by field: memory is asked for each, and what it does not hold is left out.

A reader of short answers tells one thing at a time better than an object in one go, and each answer
has a confidence of its own (docs/LOG.md). What a memory does not hold goes where the schema has a
place for it: null, a choice such as "unknown", an empty list, or a field that need not be there.
Where it has none, there is no object.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from mplus_ray.model.structured import values
from mplus_ray.model.structured.constraint import Constraint
from mplus_ray.model.structured.field import (
    FieldAnswer,
    FieldQuestion,
    Filling,
    Path,
    step,
    together,
)
from mplus_ray.model.structured.field_kinds import Part, part_of
from mplus_ray.model.structured.schema import Schema, SchemaError
from mplus_ray.model.structured.wording import Wording, is_title

MOST_FIELDS = 64  # that a schema asks for, objects of lists once
MOST_ITEMS = 16  # of a list of objects
MOST_QUESTIONS = 200  # in all
_MOST_STEPS = 10_000  # parts that are gone through; references can repeat them without end

_NUMBERS = ("number", "integer")


class _Unknown:
    """Memory does not hold it, and the schema has no place for that."""


UNKNOWN = _Unknown()


@dataclass(frozen=True)
class Filled:
    """What a form has come to.

    Attributes:
        value: the object; None if memory lacks what the schema demands.
        known: how many fields memory has filled.
        missing: fields that memory lacks and the schema demands.
        cut: lists that go on, of which no more could be asked.
    """

    value: dict[str, Any] | None
    known: int
    missing: tuple[Path, ...]
    cut: tuple[Path, ...] = ()


@dataclass(frozen=True)
class _Value:
    """What a part has come to; with UNKNOWN, which fields are missing."""

    value: Any
    known: int = 0
    missing: tuple[Path, ...] = ()


class Form:
    """A schema and what the user wants to be told.

    Attributes:
        schema: what the object has to be of.
        count: fields that are asked for at least.
    """

    def __init__(self, schema: Schema, message: str) -> None:
        """
        Raises:
            SchemaError: it is not of an object, or asks for too many fields.
        """
        self.schema = schema
        self._root = part_of(schema, schema.source)
        if self._root.kind not in ("object", "json") or self._root.schema.get("type") != "object":
            raise SchemaError("its outermost type has to be object")
        self._wording = Wording(message, alone=False)
        self.count = self._count()
        alone = self.count == 1 and self._name() is None
        self._wording = Wording(message, alone=alone)

    def filling(self) -> Filling[Filled]:
        """What is asked, round by round, and the object."""
        self._cut: list[Path] = []
        self._asked = self._steps = 0
        told = yield from self._whole()
        if isinstance(told.value, _Unknown) or not self.schema.accepts(told.value):
            return Filled(None, told.known, told.missing or ((),), tuple(self._cut))
        return Filled(told.value, told.known, (), tuple(self._cut))

    def _count(self) -> int:
        """Fields that are asked for, if each list has one object."""
        filling, count = self.filling(), 0
        questions, filled = step(filling, None)
        while filled is None:
            count += len(questions)
            if count > MOST_FIELDS:
                raise SchemaError(f"it has more than {MOST_FIELDS} fields to be asked for")
            said = [FieldAnswer("" if each.constraint else "x") for each in questions]
            questions, filled = step(filling, said)
        return count

    def _whole(self) -> Filling[_Value]:
        """The outermost object. Its name is what the message asks for, or names; all else is asked
        of what has that name."""
        root, wording, key = self._root, self._wording, self._name()
        if key is not None:
            if wording.seeks_a_name:
                (answer,) = yield self._ask((key,), wording.message, None)
                if not answer.text:
                    return _Value(UNKNOWN, 0, ((key,),))
                told = yield from self._item(root, key, answer.text, (), wording)
                return replace(told, known=told.known + 1)
            if wording.named is not None:
                return (yield from self._item(root, key, wording.named, (), wording))
        return (yield from self._part(root, (), wording))

    def _name(self) -> str | None:
        """The field for the name of the outermost object, if it has others, too."""
        if self._root.kind != "object" or len(self._root.schema["properties"]) < 2:
            return None
        key = _key(self.schema, self._root)
        return key if key is not None and is_title(key) else None

    def _part(self, part: Part, path: Path, wording: Wording) -> Filling[_Value]:
        self._steps += 1
        if self._steps > _MOST_STEPS:
            raise SchemaError(f"with what it refers to it has more than {_MOST_STEPS:,} parts")
        if part.kind == "constant":
            schema = part.schema
            return _Value(schema["const"] if "const" in schema else schema["enum"][0])
        if len(set(part.references)) < len(part.references):
            return _Value(UNKNOWN)  # it holds its like; that is not gone into
        if part.kind == "object":
            return (yield from self._object(part, path, wording))
        if part.kind == "variants":
            return (yield from self._variants(part, path, wording))
        if part.kind == "list":
            return (yield from self._list(part, path, wording))
        if part.kind == "scalar":
            return (yield from self._scalar(part.schema, [part.schema], path, wording))
        return (yield from self._json(part, path, wording))

    def _object(self, part: Part, path: Path, wording: Wording) -> Filling[_Value]:
        raw: Mapping[str, Any] = part.schema.get("properties", {})
        fields = {name: part_of(self.schema, each, part.references) for name, each in raw.items()}
        fillings = [
            self._part(field, (*path, name), wording.of(name, field.schema))
            for name, field in fields.items()
        ]
        told = yield from together(fillings)
        made: dict[str, Any] = {}
        known = sum(each.known for each in told)
        missing: tuple[Path, ...] = ()
        for (name, field), each in zip(fields.items(), told, strict=True):
            value = each.value
            if isinstance(value, _Unknown) or (field.kind == "object" and not each.known):
                value = _placed(field, value)
            if not isinstance(value, _Unknown):
                made[name] = value
            elif name in part.schema.get("required", ()):
                missing += each.missing or ((*path, name),)
        return _Value(UNKNOWN if missing else made, known, missing)

    def _variants(self, part: Part, path: Path, wording: Wording) -> Filling[_Value]:
        parts = [part_of(self.schema, each, part.references) for each in part.variants]
        if not parts:
            return _Value(UNKNOWN)  # it can only be null
        scalars = [each.schema for each in parts if each.kind == "scalar"]
        if scalars:
            return (yield from self._scalar(part.schema, scalars, path, wording))
        told = yield from together([self._part(each, path, wording) for each in parts])
        whole = [each for each in told if not isinstance(each.value, _Unknown)]
        return max(whole or told, key=lambda each: each.known)

    def _list(self, part: Part, path: Path, wording: Wording) -> Filling[_Value]:
        item = part_of(self.schema, part.schema.get("items", {"type": "string"}), part.references)
        most = min(part.schema.get("maxItems", MOST_ITEMS), MOST_ITEMS)
        if item.kind == "scalar":
            constraint = values.choices_of(item.choices) if item.choices else None
            (answer,) = yield self._ask(path, wording.question(several=True), constraint)
            found = [self._read(item.schema, text) for text in values.parts(answer.text)]
            items = [each for each in found if each is not None][: part.schema.get("maxItems")]
        elif item.kind == "object" and (key := _key(self.schema, item)) is not None:
            (answer,) = yield self._ask(path, wording.of_items(key).question(several=True), None)
            names = values.parts(answer.text)
            if len(names) > most:
                self._cut.append(path)
            told = yield from together(
                [
                    self._item(item, key, name, (*path, place), wording)
                    for place, name in enumerate(names[:most])
                ]
            )
            items = [each.value for each in told if not isinstance(each.value, _Unknown)]
        else:
            return (yield from self._json(part, path, wording))
        if not items or len(items) < part.schema.get("minItems", 0):
            return _Value(UNKNOWN)
        return _Value(items, len(items))

    def _item(
        self, item: Part, key: str, name: str, path: Path, wording: Wording
    ) -> Filling[_Value]:
        """An object of a list, whose name is known."""
        named = {"const": name, "type": "string"}
        raw = {**item.schema["properties"], key: named}
        known = Part({**item.schema, "properties": raw}, False, "object", (), item.references)
        return (yield from self._object(known, path, wording.about(name)))

    def _scalar(
        self, outer: Mapping[str, Any], forms: list[Any], path: Path, wording: Wording
    ) -> Filling[_Value]:
        (answer,) = yield self._ask(path, wording.question(), _constraint(forms))
        for form in forms:
            if len(forms) > 1 and form.get("type") in _NUMBERS and not answer.text[-1:].isdigit():
                continue  # it may be words, and is more than a number
            value = self._read(form, answer.text)
            if value is not None:
                return _Value(value, int(not values.says_unknown(value)))
        return _Value(UNKNOWN)

    def _json(self, part: Part, path: Path, wording: Wording) -> Filling[_Value]:
        self.schema.compiled(part.schema)  # refused now, and not when half of it is read
        wanted = self.schema.with_definitions(part.schema)
        constraint = Constraint.to_schema(wanted)
        (answer,) = yield self._ask(path, wording.question(), constraint)
        try:
            return _Value(json.loads(answer.text), 1)
        except ValueError:  # there is none, or it ended early
            return _Value(UNKNOWN)

    def _ask(self, path: Path, question: str, constraint: Constraint | None) -> list[FieldQuestion]:
        self._asked += 1
        if self._asked > MOST_QUESTIONS:
            raise SchemaError(f"it would take more than {MOST_QUESTIONS} questions to fill it")
        return [FieldQuestion(path, question, constraint)]

    def _read(self, form: Mapping[str, Any], text: str) -> Any:
        """The value of this form that an answer tells; None if it tells none."""
        if not text:
            return None
        value = _value(form, text)
        fits = value is not None and self.schema.accepts_at(form, value)
        return value if fits else None


def _value(form: Mapping[str, Any], text: str) -> Any:
    if "enum" in form:
        return values.chosen(text, [each for each in form["enum"] if each is not None])
    kind = form.get("type", "string")
    if kind in _NUMBERS:
        size = values.number(text)
        return None if size is None else values.as_json(size, kind == "integer")
    if kind == "boolean":
        return {"yes": True, "no": False}.get(text.casefold())
    return values.day(text) if form.get("format") == "date" else text


def _constraint(forms: list[Any]) -> Constraint | None:
    """The form of the answer, if there is one that is not any text."""
    (first, *others) = forms
    if others:
        return None
    if "enum" in first:
        return values.choice_of([each for each in first["enum"] if each is not None])
    kind, pattern = first.get("type"), first.get("pattern", "")
    if kind in _NUMBERS:
        return values.NUMBER
    if kind == "boolean":
        return values.YES_OR_NO
    if kind == "string" and len(pattern) > 2 and pattern[0] == "^" and pattern[-1] == "$":
        return Constraint(regex=f"(?:{pattern[1:-1]})")
    return None


def _placed(field: Part, value: Any) -> Any:
    """What stands for something that memory does not hold; UNKNOWN if nothing can."""
    if field.nullable:
        return None
    for choice in field.choices:
        if values.says_unknown(choice):
            return choice
    if field.kind == "list" and not field.schema.get("minItems"):
        return []
    return value


def _key(schema: Schema, item: Part) -> str | None:
    """The field by which objects of a list are told apart: the first text that they all have."""
    for name, raw in item.schema.get("properties", {}).items():
        part = part_of(schema, raw, item.references)
        if part.kind == "scalar" and part.schema.get("type") == "string" and not part.choices:
            return name if set(part.schema) <= {"type", "title", "description"} else None
    return None
