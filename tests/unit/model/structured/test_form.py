"""Schemas filled field by field, with a memory that says what the test gives it."""

from __future__ import annotations

import json
import time
from typing import Any, Literal

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from mplus_ray.model.structured.field import FieldAnswer, FieldQuestion, step
from mplus_ray.model.structured.form import MOST_ITEMS, Filled, Form
from mplus_ray.model.structured.schema import Schema, SchemaError

MESSAGE = "Tell me about Maren Tolva."


class Pet(BaseModel):
    name: str
    kind: Literal["cat", "dog"]


class Address(BaseModel):
    street: str
    town: str


class Person(BaseModel):
    name: str
    birth_year: int = Field(description="In which year was Maren Tolva born?")
    home: Address | None
    job: Literal["baker", "smith", "unknown"]
    is_married: bool | None
    pets: list[Pet]
    moved_on: str | None = Field(None, json_schema_extra={"format": "date"})
    children: list[Person] = []


def filled(schema: Any, said: dict[str, str], message: str = MESSAGE) -> tuple[Filled, list[str]]:
    """What a form comes to, and all that was asked.

    Args:
        said: answers by path, with dots.
    """
    filling = Form(Schema(schema), message).filling()
    questions, result = step(filling, None)
    asked: list[str] = []
    while result is None:
        asked += [each.question for each in questions]
        questions, result = step(filling, [FieldAnswer(said.get(_at(q), "")) for q in questions])
    return result, asked


def _at(question: FieldQuestion) -> str:
    return ".".join(map(str, question.path))


def only(**field: Any) -> dict[str, Any]:
    """A schema of one field that has to be there, and another."""
    return {
        "type": "object",
        "properties": {"x": field, "y": {"type": ["string", "null"]}},
        "required": ["x"],
    }


def test_each_field_is_asked_about_what_the_message_names() -> None:
    said = {
        "birth_year": "1952",
        "home.street": "Quay 4",
        "home.town": "Dorvas",
        "job": "Baker",
        "is_married": "yes",
        "pets": "Rex and Mia",
        "pets.0.kind": "dog",
        "pets.1.kind": "cat",
        "moved_on": "12 March 2024",
    }
    result, asked = filled(Person.model_json_schema(), said)
    assert result.value == {
        "name": "Maren Tolva",
        "birth_year": 1952,
        "home": {"street": "Quay 4", "town": "Dorvas"},
        "job": "baker",
        "is_married": True,
        "pets": [{"name": "Rex", "kind": "dog"}, {"name": "Mia", "kind": "cat"}],
        "moved_on": "2024-03-12",
        "children": [],
    }
    assert asked[:5] == [
        "In which year was Maren Tolva born?",
        "What is the street of the home of Maren Tolva?",
        "What is the town of the home of Maren Tolva?",
        "What is the job of Maren Tolva?",
        "Is Maren Tolva married?",
    ]
    assert asked[-2:] == ["What is the kind of Rex?", "What is the kind of Mia?"]


def test_what_is_unknown_takes_the_place_that_there_is() -> None:
    result, _ = filled(Person.model_json_schema(), {"birth_year": "1952"})
    assert result.value == {
        "name": "Maren Tolva",
        "birth_year": 1952,
        "home": None,
        "job": "unknown",
        "is_married": None,
        "pets": [],
        "moved_on": None,
        "children": [],
    }
    result, _ = filled(Person.model_json_schema(), {"job": "baker"})
    assert (result.value, result.missing, result.known) == (None, (("birth_year",),), 1)


@pytest.mark.parametrize(
    ("field", "said", "value"),
    [
        ({"type": "integer"}, "12,345", 12_345),
        ({"type": "integer"}, "3.5 million crowns", 3_500_000),
        ({"type": "integer"}, "three", 3),
        ({"type": "integer"}, "14.5 metres", None),
        ({"type": "number"}, "14.5 metres", 14.5),
        ({"type": "number"}, "$250 a month", 250),
        ({"type": "integer", "minimum": 10}, "3", None),
        ({"type": "boolean"}, "no", False),
        ({"enum": ["in_stock", "sold_out"]}, "sold out", "sold_out"),
        ({"enum": [1, 2, 3]}, "2", 2),
        ({"type": "string", "maxLength": 4}, "Dorvas", None),
        ({"type": "string", "format": "date"}, "12 March 2024", "2024-03-12"),
        ({"type": "string", "format": "date"}, "March 2024", None),
        ({"type": "string", "pattern": "^[A-Z]{2}-[0-9]+$"}, "AB-12", "AB-12"),
        ({"type": "string", "pattern": "^(a+)+$"}, "a" * 40 + "b", None),
        ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, "12", 12),
        ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, "12 or so", "12 or so"),
        ({"type": "array", "items": {"type": "string"}}, "a, b and c", ["a", "b", "c"]),
        ({"type": "array", "items": {"type": "integer"}}, "1952; 1960", [1952, 1960]),
        ({"type": "array", "items": {"type": "string"}, "maxItems": 1}, "a, b", ["a"]),
        ({"type": "array", "items": {"type": "string"}, "minItems": 2}, "a", None),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, '{"a": 1}', {"a": 1}),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, '{"a": 1', None),
        ({"const": "v1"}, "", "v1"),
    ],
)
def test_values(field: dict[str, Any], said: str, value: Any) -> None:
    result, _ = filled(only(**field), {"x": said})
    assert (None if result.value is None else result.value["x"]) == value
    if result.value is not None:
        jsonschema.validate(result.value, only(**field))
    else:
        assert result.missing == (("x",),)


def test_one_field_is_the_question_itself() -> None:
    schema = {"type": "object", "properties": {"answer": {"type": "string"}}}
    result, asked = filled(schema, {"answer": "Dorvas"}, "Where does she live?")
    assert (result.value, asked) == ({"answer": "Dorvas"}, ["Where does she live?"])


@pytest.mark.parametrize(
    ("name", "description", "asked"),
    [
        ("dob", "Date of birth", "What is the date of birth of Maren Tolva?"),
        ("birthYear", "", "What is the birth year of Maren Tolva?"),
        ("home", "Where does she live?", "Where does she live?"),
        ("home", "The town that she says is her home", "What is the home of Maren Tolva?"),
        ("has_children", "", "Has Maren Tolva children?"),
    ],
)
def test_wording(name: str, description: str, asked: str) -> None:
    field = {"type": "string", "description": description}
    schema = {"type": "object", "properties": {name: field, "x": {"const": 1}, "y": {}}}
    assert filled(schema, {})[1][0] == asked


@pytest.mark.parametrize(
    ("message", "asked"),
    [
        ("Describe the Battle of Hastings.", "What is the y of the Battle of Hastings?"),
        ("What did PEP 8 say?", "What is the y of PEP 8?"),
        ("the owner of the shop", "the owner of the shop. What is the y?"),
        ("Who?", "Who? What is the y?"),
    ],
)
def test_what_a_message_names(message: str, asked: str) -> None:
    schema = {"type": "object", "properties": {"y": {}, "z": {}}}
    assert filled(schema, {}, message)[1][0] == asked


def test_a_long_message_is_read_once() -> None:
    fields = {"name": {"type": "string"}, "age": {"type": "integer"}}
    began = time.perf_counter()
    form = Form(Schema({"type": "object", "properties": fields}), f"Who is {'!' * 100_000}a")
    assert form.count == 2
    assert time.perf_counter() - began < 1.0


def test_references_cannot_repeat_parts_without_end() -> None:
    levels: dict[str, Any] = {"L0": {"type": "object", "properties": {"a": {"const": 1}}}}
    for level in range(1, 25):
        below = {"$ref": f"#/$defs/L{level - 1}"}
        levels[f"L{level}"] = {"type": "object", "properties": {"x": below, "y": below}}
    schema = {"type": "object", "properties": {"all": {"$ref": "#/$defs/L24"}}, "$defs": levels}
    with pytest.raises(SchemaError, match="more than 10,000 parts"):
        Form(Schema(schema), MESSAGE)


_ITSELF = {"$ref": "#/$defs/A"}


@pytest.mark.parametrize(
    "definition",
    [
        {"anyOf": [_ITSELF, {"type": "null"}]},
        {"anyOf": [{"allOf": [_ITSELF]}, {"type": "null"}]},
        {"type": "object", "properties": {"more": {"allOf": [_ITSELF], "description": "More"}}},
    ],
)
def test_what_holds_its_like_is_not_gone_into(definition: dict[str, Any]) -> None:
    fields = {"said": {"type": "string"}, "tree": _ITSELF}
    schema = {"type": "object", "properties": fields, "$defs": {"A": definition}}
    found, asked = filled(schema, {"said": "yes"})
    assert found.value is not None
    assert found.value["said"] == "yes"
    assert len(asked) == 1


def test_a_part_that_cannot_stand_alone_is_refused_at_once() -> None:
    lists = {"type": "array", "items": {"type": "array", "items": {"$ref": "#/properties/x"}}}
    schema = {"type": "object", "properties": {"x": {"type": "string"}, "c": lists}}
    with pytest.raises(SchemaError, match="does not exist"):
        Form(Schema(schema), MESSAGE)


def test_a_part_that_is_null_or_null() -> None:
    nothing = {"type": "null"}
    part = {"anyOf": [nothing, {"oneOf": [nothing]}, {"type": "string"}]}
    found, _ = filled({"type": "object", "properties": {"a": part}}, {})
    assert found.value == {"a": None}


def test_a_part_may_be_anything() -> None:
    found, _ = filled({"type": "object", "properties": {"a": {"anyOf": [True]}}}, {})
    assert found.value == {}


def test_references_are_paths() -> None:
    text = {"type": "string"}
    schema = {"type": "object", "properties": {"a": {"$ref": "#/$defs/a%20b"}}}
    found, _ = filled({**schema, "$defs": {"a b": text}}, {"a": "x"})
    assert found.value == {"a": "x"}
    named = {"type": "object", "properties": {"a": {"$ref": "#here"}}}
    with pytest.raises(SchemaError, match="no path"):
        Form(Schema({**named, "$defs": {"a": {"$anchor": "here", **text}}}), MESSAGE)


def test_who_is_asked_for_first() -> None:
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
        "required": ["name", "age"],
    }
    said = {"name": "Otto", "age": "42"}
    result, asked = filled(schema, said, "Who is the mayor of Brelin?")
    assert result.value == {"name": "Otto", "age": 42}
    assert asked == ["Who is the mayor of Brelin?", "What is the age of Otto?"]
    result, asked = filled(schema, said, "Who is Maren Tolva?")
    assert result.value == {"name": "Maren Tolva", "age": 42}
    assert asked == ["What is the age of Maren Tolva?"]
    result, _ = filled(schema, {"age": "42"}, "Who is the mayor of Brelin?")
    assert result.missing == (("name",),)


def test_the_variant_of_which_most_is_known() -> None:
    kinds = [
        {
            "type": "object",
            "properties": {"kind": {"const": kind}, field: {"type": "string"}},
            "required": ["kind", field],
        }
        for kind, field in (("ship", "captain"), ("house", "street"))
    ]
    schema = {"type": "object", "properties": {"it": {"anyOf": kinds}}, "required": ["it"]}
    result, _ = filled(schema, {"it.street": "Quay"})
    assert result.value == {"it": {"kind": "house", "street": "Quay"}}
    assert filled(schema, {})[0].value is None


def test_long_lists_end_and_say_so() -> None:
    schema = {
        "type": "object",
        "properties": {
            "people": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "name": {"type": "string"},
                        "age": {"type": ["integer", "null"]},
                    },
                    "required": ["name", "age"],
                },
            }
        },
    }
    names = ", ".join(f"P{number}" for number in range(40))
    result, _ = filled(schema, {"people": names})
    assert result.value is not None
    assert len(result.value["people"]) == MOST_ITEMS
    assert result.cut == (("people",),)


FIELDS = st.recursive(
    st.sampled_from(
        [
            {"type": "string"},
            {"type": ["string", "null"]},
            {"type": "integer", "minimum": 0, "maximum": 99},
            {"type": ["number", "null"]},
            {"type": "boolean"},
            {"enum": ["red", "green", None]},
            {"enum": ["red", "unknown"]},
            {"type": "string", "format": "date"},
            {"type": "string", "minLength": 2, "maxLength": 5},
            {"anyOf": [{"type": "integer"}, {"type": "null"}]},
            {"type": "object", "additionalProperties": {"type": "integer"}},
            {"const": 7},
        ]
    ),
    lambda inner: st.one_of(
        st.builds(lambda items: {"type": "array", "items": items}, inner),
        st.builds(lambda items: {"type": "array", "items": items, "minItems": 1}, inner),
        st.builds(lambda one, two: {"anyOf": [one, two]}, inner, inner),
        st.builds(
            lambda fields, all_of_them: {
                "type": "object",
                "properties": fields,
                "required": list(fields) if all_of_them else [],
                "additionalProperties": False,
            },
            st.dictionaries(st.sampled_from(["a", "b_c", "is_d", "name"]), inner, max_size=3),
            st.booleans(),
        ),
    ),
    max_leaves=6,
)
ANSWERS = st.sampled_from(
    ["", "red", "3", "12,345", "yes", "a, b and c", "12 March 2024", '{"a": 1}', "Maren Tolva", "é"]
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from(["p", "q", "name"]), FIELDS, min_size=1), st.data())
def test_whatever_memory_says_the_object_is_of_the_schema(
    fields: dict[str, Any], data: st.DataObject
) -> None:
    schema = {"type": "object", "properties": fields, "required": list(fields)}
    try:
        form = Form(Schema(schema), MESSAGE)
    except SchemaError:
        return
    filling = form.filling()
    questions, result = step(filling, None)
    while result is None:
        questions, result = step(filling, [FieldAnswer(data.draw(ANSWERS)) for _ in questions])
    if result.value is not None:
        jsonschema.validate(json.loads(json.dumps(result.value)), schema)
    else:
        assert result.missing
