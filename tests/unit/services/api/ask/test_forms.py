"""Forms through the API: formats, tools, refusals, limits; with a model that says anything."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Literal

import openai
import pytest
from openai import OpenAI
from pydantic import BaseModel

from mplus_ray.model import MPlus
from mplus_ray.pipeline.reading.abstention import REFUSAL
from tests.api_world import ApiWorld, endless_model, serving
from tests.unit.services.api.ask.test_openai import MODEL, RAVEN, WHO, client


class Bird(BaseModel):
    """What a model of random weights can fill as well as any other."""

    colour: Literal["black", "white"]
    legs: Literal[2, 4]
    sings: bool


SCHEMA = {**Bird.model_json_schema(), "additionalProperties": False}
FORMAT: Any = {"type": "json_schema", "json_schema": {"name": "bird", "schema": SCHEMA}}
TOOL: Any = {"type": "function", "function": {"name": "note", "parameters": SCHEMA}}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> MPlus:
    return endless_model(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="module")
def api(model: MPlus, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiWorld]:
    with serving(model, tmp_path_factory.mktemp("forms"), loopback=True) as world:
        yield world


@pytest.fixture(scope="module")
def told(api: ApiWorld) -> dict[str, str]:
    headers = api.fresh()
    api.memorize(headers, RAVEN, id="bird")
    return headers


@pytest.fixture
def ai(api: ApiWorld, told: dict[str, str]) -> Iterator[OpenAI]:
    with client(api, told) as made:
        yield made


def sent(api: ApiWorld, headers: dict[str, str], **fields: Any) -> Any:
    body = {"model": MODEL, "messages": WHO, **fields}
    return api.client.post("/v1/chat/completions", json=body, headers=headers)


class TestFormats:
    def test_parse_gives_an_object(self, ai: OpenAI) -> None:
        said = ai.chat.completions.parse(model=MODEL, messages=WHO, response_format=Bird)
        (choice,) = said.choices
        assert isinstance(choice.message.parsed, Bird)
        assert (choice.finish_reason, choice.message.refusal) == ("stop", None)
        recalled = said.model_extra["mplus"]  # type: ignore[index]
        assert [each["path"] for each in recalled["fields"]] == ["colour", "legs", "sings"]
        assert {each["document_id"] for each in recalled["citations"]} == {"bird"}
        assert said.usage is not None
        assert said.usage.completion_tokens > 0

    def test_responses_say_the_same(self, ai: OpenAI) -> None:
        chat = ai.chat.completions.parse(model=MODEL, messages=WHO, response_format=Bird)
        said = ai.responses.parse(model=MODEL, input="Who is black?", text_format=Bird)
        assert said.output_parsed == chat.choices[0].message.parsed
        with ai.responses.stream(model=MODEL, input="Who is black?", text_format=Bird) as stream:
            kinds = [each.type for each in stream]
            assert stream.get_final_response().output_parsed == said.output_parsed
        assert kinds[-3:] == [
            "response.content_part.done",
            "response.output_item.done",
            "response.completed",
        ]

    def test_a_stream_has_the_same_object(self, ai: OpenAI) -> None:
        whole = ai.chat.completions.create(model=MODEL, messages=WHO, response_format=FORMAT)
        with ai.chat.completions.stream(model=MODEL, messages=WHO, response_format=Bird) as stream:
            final = stream.get_final_completion()
        assert final.choices[0].message.content == whole.choices[0].message.content
        assert isinstance(final.choices[0].message.parsed, Bird)

    def test_the_same_again_and_with_a_seed(self, ai: OpenAI) -> None:
        asked: Any = {"model": MODEL, "messages": WHO, "response_format": FORMAT}

        def said(**more: Any) -> str | None:
            return ai.chat.completions.create(**asked, **more).choices[0].message.content

        assert said() == said()
        drawn = [said(temperature=1.5, seed=seed) for seed in range(6)]
        assert drawn == [said(temperature=1.5, seed=seed) for seed in range(6)]
        assert len(set(drawn)) > 1
        for each in drawn:
            Bird.model_validate_json(each or "")

    def test_too_few_tokens_cut_it_and_say_so(self, ai: OpenAI) -> None:
        for most in (1, 5, 20):
            said = ai.chat.completions.create(
                model=MODEL, messages=WHO, response_format=FORMAT, max_tokens=most
            )
            (choice,) = said.choices
            assert choice.finish_reason == "length"
            assert len(choice.message.content or "") <= most

    def test_a_stop_string_ends_it(self, ai: OpenAI) -> None:
        said = ai.chat.completions.create(
            model=MODEL, messages=WHO, response_format=FORMAT, stop='"legs'
        )
        assert said.choices[0].message.content in (
            '{"colour": "black", ',
            '{"colour": "white", ',
        )

    def test_an_empty_memory_refuses(self, api: ApiWorld) -> None:
        with client(api, api.fresh()) as ai:
            said = ai.chat.completions.parse(model=MODEL, messages=WHO, response_format=Bird)
            answer = ai.responses.parse(model=MODEL, input="Who?", text_format=Bird)
            events = list(
                ai.responses.create(
                    model=MODEL,
                    input="Who?",
                    text={"format": {"type": "json_schema", "name": "bird", "schema": SCHEMA}},
                    stream=True,
                )
            )
        message = said.choices[0].message
        assert message.content is None
        assert message.refusal is not None
        assert message.refusal.startswith(REFUSAL)
        assert "colour" in message.refusal
        assert said.model_extra["mplus"]["abstained"] is True  # type: ignore[index]
        assert said.model_extra["mplus"]["confidence"] == 0.0  # type: ignore[index]
        assert answer.output_parsed is None
        kinds = [each.type for each in events]
        assert "response.refusal.done" in kinds
        assert "response.output_text.delta" not in kinds
        assert kinds[-1] == "response.completed"

    def test_what_is_not_known_goes_where_there_is_a_place_for_it(self, api: ApiWorld) -> None:
        schema = {
            "type": "object",
            "properties": {
                "home": {"type": ["string", "null"]},
                "kind": {"enum": ["bird", "fish", "unknown"]},
                "friends": {"type": "array", "items": {"type": "string"}},
                "age": {"type": "integer"},
            },
            "required": ["home", "kind", "friends"],
        }
        form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
        said = sent(api, api.fresh(), response_format=form).json()
        content = json.loads(said["choices"][0]["message"]["content"])
        assert content == {"home": None, "kind": "unknown", "friends": []}
        assert said["mplus"]["abstained"] is True

    def test_json_of_no_schema_is_the_answer(self, api: ApiWorld, told: dict[str, str]) -> None:
        said = sent(api, told, response_format={"type": "json_object"}, max_tokens=60).json()
        assert said["choices"][0]["message"]["content"].startswith('{"answer": "')
        described = [{"role": "system", "content": f"JSON schema:\n{json.dumps(SCHEMA)}"}, *WHO]
        said = sent(api, told, messages=described, response_format={"type": "json_object"}).json()
        Bird.model_validate_json(said["choices"][0]["message"]["content"])


class TestSchemas:
    @pytest.mark.parametrize(
        ("schema", "why"),
        [
            ({"type": "string"}, "outermost"),
            ({"type": "object", "properties": {"a": {"not": {}}}}, "not"),
            ({"type": "object", "properties": {"a": {"type": "text"}}}, "text"),
            ({"type": "object", "properties": {"a": {"$ref": "#/$defs/None"}}}, "None"),
            ({"type": "object", "properties": {"a": {"$ref": "https://example.com/a"}}}, "example"),
            ({"type": "object", "properties": {"a": {"type": "string", "pattern": "(?=a)"}}}, ""),
            (
                {
                    "type": "object",
                    "properties": {f"f{n}": {"type": "string"} for n in range(100)},
                },
                "fields",
            ),
            (
                {
                    "type": "object",
                    "properties": {"a": {"enum": ["x" * 100 + str(n) for n in range(900)]}},
                },
                "characters",
            ),
        ],
    )
    def test_one_that_cannot_be_followed_is_refused(
        self, api: ApiWorld, told: dict[str, str], schema: dict[str, Any], why: str
    ) -> None:
        form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
        answer = sent(api, told, response_format=form)
        assert answer.status_code == 400, answer.text
        error = answer.json()["error"]
        assert error["param"] == "response_format.json_schema.schema"
        assert (error["type"], error["code"]) == ("invalid_request_error", "invalid_schema")
        assert why in error["message"]

    def test_a_description_is_no_way_around_the_limit_of_a_question(
        self, api: ApiWorld, told: dict[str, str]
    ) -> None:
        fields = {"a": {"type": "string", "description": f"{'x ' * 20_000}?"}, "b": {"const": 1}}
        schema = {"type": "object", "properties": {**fields, "c": {"type": "string"}}}
        body = {"question": "Where is the raven?", "schema": schema}
        answer = api.client.post("/v1/query", json=body, headers=told)
        assert answer.status_code == 422
        assert "characters" in answer.json()["detail"]

    def test_so_is_a_deep_one_and_others_name_it_their_way(
        self, api: ApiWorld, told: dict[str, str]
    ) -> None:
        deep: dict[str, Any] = {"type": "string"}
        for _ in range(200):
            deep = {"type": "object", "properties": {"a": deep}}
        tool = {"type": "function", "function": {"name": "f", "parameters": deep}}
        answer = sent(api, told, tools=[tool], tool_choice="required")
        assert answer.status_code == 400
        assert answer.json()["error"]["param"] == "tools.0.function.parameters"
        form = {"type": "json_schema", "name": "x", "schema": deep}
        body: Any = {"model": MODEL, "input": "Who?", "text": {"format": form}}
        answer = api.client.post("/v1/responses", json=body, headers=told)
        assert answer.json()["error"]["param"] == "text.format.schema"
        tool = {"type": "function", "name": "f", "parameters": deep}
        body = {"model": MODEL, "input": "Who?", "tools": [tool], "tool_choice": "required"}
        answer = api.client.post("/v1/responses", json=body, headers=told)
        assert answer.json()["error"]["param"] == "tools.0.parameters"


class TestTools:
    @pytest.mark.parametrize(
        "choice",
        [
            "required",
            {"type": "function", "function": {"name": "note"}},
            {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [TOOL]}},
        ],
    )
    def test_one_that_has_to_be_called_is(self, ai: OpenAI, choice: Any) -> None:
        asked: Any = {"model": MODEL, "messages": WHO, "tools": [TOOL], "tool_choice": choice}
        (chosen,) = ai.chat.completions.create(**asked).choices
        assert chosen.finish_reason == "tool_calls"
        assert chosen.message.content is None
        assert chosen.message.tool_calls is not None
        (call,) = chosen.message.tool_calls
        assert isinstance(call, openai.types.chat.ChatCompletionMessageFunctionToolCall)
        assert call.function.name == "note"
        Bird.model_validate_json(call.function.arguments)
        arguments = ""
        for chunk in ai.chat.completions.create(**asked, stream=True):
            for piece in chunk.choices[0].delta.tool_calls or []:
                assert piece.function is not None
                arguments += piece.function.arguments or ""
        assert arguments == call.function.arguments

    def test_responses_call_it_too(self, ai: OpenAI) -> None:
        tool: Any = {"type": "function", "name": "note", "parameters": SCHEMA, "strict": True}
        asked: Any = {
            "model": MODEL,
            "input": "Who is black?",
            "tools": [tool],
            "tool_choice": {"type": "function", "name": "note"},
        }
        said = ai.responses.create(**asked)
        (call,) = said.output
        assert call.type == "function_call"
        Bird.model_validate_json(call.arguments)
        events = list(ai.responses.create(**asked, stream=True))
        assert [each.type for each in events] == [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.function_call_arguments.delta",
            "response.function_call_arguments.done",
            "response.output_item.done",
            "response.completed",
        ]
        turns: Any = [
            {"role": "user", "content": "Who is black?"},
            {
                "type": "function_call",
                "call_id": call.call_id,
                "name": call.name,
                "arguments": call.arguments,
            },
            {"type": "function_call_output", "call_id": call.call_id, "output": "noted"},
        ]
        again = ai.responses.create(model=MODEL, input=turns, max_output_tokens=4)
        assert again.status == "incomplete"
        assert "was not read" in again.model_extra["mplus"]["warnings"][0]  # type: ignore[index]

    def test_left_to_it_memory_answers_and_says_that_it_calls_none(self, ai: OpenAI) -> None:
        asked: Any = {"model": MODEL, "messages": WHO, "max_tokens": 5}
        plain = ai.chat.completions.create(**asked)
        for choice in ("auto", "none"):
            said = ai.chat.completions.create(**asked, tools=[TOOL], tool_choice=choice)
            assert said.choices[0].message.content == plain.choices[0].message.content
            assert said.choices[0].message.tool_calls is None
            warned = said.model_extra["mplus"]["warnings"]
            assert bool(warned) is (choice == "auto")

    @pytest.mark.parametrize("tool", [{"function": "note"}, {"function": {"name": ["note"]}}, {}])
    def test_a_choice_that_names_nothing_is_refused(
        self, api: ApiWorld, told: dict[str, str], tool: Any
    ) -> None:
        allowed = {"mode": "required", "tools": [tool]}
        choice = {"type": "allowed_tools", "allowed_tools": allowed}
        answer = sent(api, told, tools=[TOOL], tool_choice=choice)
        assert answer.status_code == 422
        assert answer.json()["error"]["param"] == "tool_choice"

    def test_a_tool_that_was_called_is_not_called_again_if_there_is_another(
        self, ai: OpenAI
    ) -> None:
        other: Any = {"type": "function", "function": {"name": "done", "parameters": SCHEMA}}
        called: Any = [
            *WHO,
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {
                        "id": "c1",
                        "type": "function",
                        "function": {"name": "note", "arguments": "{}"},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "noted"},
        ]
        asked: Any = {"model": MODEL, "tools": [TOOL, other], "tool_choice": "required"}
        names = []
        for messages in (WHO, called):
            (choice,) = ai.chat.completions.create(**asked, messages=messages).choices
            assert choice.message.tool_calls is not None
            (call,) = choice.message.tool_calls
            assert call.type == "function"
            names.append(call.function.name)
        assert names == ["note", "done"]

    def test_an_empty_memory_calls_nothing(self, api: ApiWorld) -> None:
        said = sent(api, api.fresh(), tools=[TOOL], tool_choice="required").json()
        message = said["choices"][0]["message"]
        assert message["content"] is None
        assert "tool_calls" not in message
        assert message["refusal"].startswith(REFUSAL)
        assert said["choices"][0]["finish_reason"] == "stop"
