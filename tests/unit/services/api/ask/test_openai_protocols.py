"""OpenAI's other protocols, errors in its shape, and parameters that nothing is silent about."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from mplus_ray.model import MPlus
from mplus_ray.model.errors import RateLimitedError
from mplus_ray.model.generation.confidence import Confidence
from mplus_ray.pipeline.reading.abstention import REFUSAL
from mplus_ray.services.api.problems.openai_paths import OWN
from tests import npm
from tests.api_world import ApiWorld, endless_model, serving
from tests.unit.services.api.ask.test_openai import MODEL, RAVEN, WHO, client

QUESTION = "Who is black?"
TOOL: Any = {"type": "function", "function": {"name": "note", "parameters": {"type": "object"}}}
NAMED: Any = {"type": "function", "function": {"name": "note"}}
JAVASCRIPT = """
import OpenAI from "openai";

const ai = new OpenAI({ baseURL: process.env.URL, apiKey: process.env.KEY, maxRetries: 0 });
const model = (await ai.models.list()).data[0].id;
const messages = [{ role: "user", content: "Who is black?" }];
const { data: chat, request_id } = await ai.chat.completions
  .create({ model, messages, max_tokens: 9 }).withResponse();
let streamed = "";
const chunks = await ai.chat.completions.create({ model, messages, max_tokens: 9, stream: true });
for await (const chunk of chunks) streamed += chunk.choices[0]?.delta?.content ?? "";
const response = await ai.responses.create({
  model, input: "Who is black?", max_output_tokens: 9,
});
const kinds = [];
const events = await ai.responses.create({
  model, input: "Who is black?", max_output_tokens: 9, stream: true,
});
for await (const each of events) kinds.push(each.type);
const completion = await ai.completions.create({ model, prompt: "Who is black?", max_tokens: 9 });
const failed = await ai.embeddings.create({ model, input: "x" }).catch((error) => ({
  status: error.status, code: error.code, message: error.message, requestID: error.requestID,
}));
const wrong = await ai.chat.completions.create({ model, messages, n: 2 }).catch((error) => ({
  status: error.status, param: error.param, type: error.type,
}));
console.log(JSON.stringify({
  chat: chat.choices[0].message.content, request_id, streamed, response: response.output_text,
  kinds, completion: completion.choices[0].text, failed, wrong,
}));
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> MPlus:
    return endless_model(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="module")
def api(model: MPlus, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiWorld]:
    with serving(model, tmp_path_factory.mktemp("protocols"), loopback=True) as world:
        yield world


@pytest.fixture(scope="module")
def sure(model: MPlus, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiWorld]:
    """A service whose model may withhold answers."""
    with serving(model, tmp_path_factory.mktemp("sure"), loopback=True, confident=True) as world:
        yield world


def chat(api: ApiWorld, headers: dict[str, str], **change: Any) -> Any:
    """What a chat request with this in it gives, as JSON."""
    sent = {"model": MODEL, "messages": WHO, "max_tokens": 3, **change}
    return api.client.post("/v1/chat/completions", json=sent, headers=headers).json()


class TestResponses:
    def test_it_says_what_a_chat_says(self, api: ApiWorld) -> None:
        headers = api.fresh()
        api.memorize(headers, RAVEN, id="bird")
        with client(api, headers) as ai:
            said = ai.responses.create(model=MODEL, input=QUESTION, max_output_tokens=9)
            chat = ai.chat.completions.create(model=MODEL, messages=WHO, max_tokens=9)
        assert said.output_text == chat.choices[0].message.content
        assert (said.object, said.model) == ("response", MODEL)
        assert (said.status, said.incomplete_details.reason) == (  # type: ignore[union-attr]
            "incomplete",
            "max_output_tokens",
        )
        assert said.usage is not None
        assert said.usage.output_tokens == 9
        assert said.usage.total_tokens == said.usage.input_tokens + 9
        recalled = said.model_extra["mplus"]  # type: ignore[index]
        assert {each["document_id"] for each in recalled["citations"]} == {"bird"}

    def test_a_conversation_with_instructions(self, api: ApiWorld) -> None:
        headers = api.fresh()
        api.memorize(headers, RAVEN)
        turns: list[Any] = [
            {"role": "user", "content": "Hello."},
            {
                "type": "message",
                "role": "assistant",
                "id": "msg_1",
                "status": "completed",
                "content": [{"type": "output_text", "text": "Yes?", "annotations": []}],
            },
            {"role": "user", "content": [{"type": "input_text", "text": QUESTION}]},
        ]
        with client(api, headers) as ai:
            said = ai.responses.create(
                model=MODEL, input=turns, instructions="Be brief.", max_output_tokens=5
            )
            same = ai.chat.completions.create(
                model=MODEL,
                messages=[
                    {"role": "system", "content": "Be brief."},
                    {"role": "user", "content": "Hello."},
                    {"role": "assistant", "content": "Yes?"},
                    *WHO,
                ],
                max_tokens=5,
            )
        assert said.output_text == same.choices[0].message.content
        assert said.instructions == "Be brief."
        assert said.model_extra["mplus"]["warnings"] == []  # type: ignore[index]

    def test_a_stream(self, api: ApiWorld) -> None:
        headers = api.fresh()
        api.memorize(headers, RAVEN)
        with client(api, headers) as ai:
            whole = ai.responses.create(model=MODEL, input=QUESTION, max_output_tokens=20)
            asked: Any = {"model": MODEL, "input": QUESTION, "max_output_tokens": 20}
            events = list(ai.responses.create(**asked, stream=True))
            ended: Any = {**asked, "extra_body": {"stop": whole.output_text[3:6]}}
            with ai.responses.stream(**ended) as stream:  # it wants one that is complete
                final = stream.get_final_response()
        kinds = [each.type for each in events]
        pieces = [each.delta for each in events if each.type == "response.output_text.delta"]
        assert kinds[:4] == [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added",
        ]
        assert len(pieces) > 3
        assert kinds[4 + len(pieces) :] == [
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.incomplete",
        ]
        assert "".join(pieces).strip() == whole.output_text
        assert final.status == "completed"
        assert whole.output_text.startswith(final.output_text)
        assert [each.sequence_number for each in events] == list(range(len(events)))
        assert events[-1].response.usage == whole.usage

    def test_store_memorizes_the_turn_and_is_off_by_default(self, api: ApiWorld) -> None:
        headers = api.fresh()
        with client(api, headers) as ai:
            asked: Any = {"model": MODEL, "input": QUESTION, "max_output_tokens": 9}
            off = ai.responses.create(**asked)
            said = ai.responses.create(**asked, store=True, extra_body={"threshold": 0})
        assert off.model_extra["mplus"]["stored"] is None
        assert (off.to_dict()["store"], said.to_dict()["store"]) == (False, True)
        key = said.model_extra["mplus"]["stored"]
        text = f"User: {QUESTION}\nAssistant: {said.output_text}"
        assert api.log(headers).text(key) == text
        refused = api.headers(api.log(headers), "query")
        with client(api, refused) as ai, pytest.raises(openai.PermissionDeniedError):
            ai.responses.create(**asked, store=True)

    @pytest.mark.parametrize(
        ("change", "param"),
        [
            ({"input": []}, "input"),
            ({"input": [{"role": "assistant", "content": "Yes?"}]}, "input"),
            ({"previous_response_id": "resp_1"}, "previous_response_id"),
            ({"conversation": "conv_1"}, "conversation"),
            ({"background": True}, "background"),
            ({"tools": [{"type": "web_search"}]}, "tools.0.type"),
            ({"tools": [{"type": "function"}]}, "tools"),
            ({"tool_choice": "required"}, "tool_choice"),
            ({"text": {"format": {"type": "grammar"}}}, "text.format.type"),
            ({"text": {"format": {"type": "json_schema", "name": "x"}}}, "text.format"),
            ({"top_logprobs": 3}, "top_logprobs"),
            ({"extra_body": {"messages": WHO}}, "messages"),
            ({"extra_body": {"max_tokens": 3}}, "max_tokens"),
            ({"max_output_tokens": 0}, "max_output_tokens"),
        ],
    )
    def test_what_it_cannot_do(self, api: ApiWorld, change: dict[str, Any], param: str) -> None:
        sent: dict[str, Any] = {"model": MODEL, "input": QUESTION, **change}
        with (
            client(api, api.fresh()) as ai,
            pytest.raises(openai.UnprocessableEntityError) as found,
        ):
            ai.responses.create(**sent)
        assert found.value.param == param
        assert found.value.type == "invalid_request_error"

    def test_images_and_tools_in_the_input_are_refused(self, api: ApiWorld) -> None:
        part = {"type": "input_image", "image_url": "data:image/png;base64,AA=="}
        items = ({"role": "user", "content": [part]}, {"type": "function_call_output"})
        for item in items:
            sent = {"model": MODEL, "input": [item]}
            answer = api.client.post("/v1/responses", json=sent, headers=api.fresh())
            assert answer.status_code == 422
            assert answer.json()["error"]["param"].startswith("input")

    def test_an_error_on_the_way_ends_the_stream(
        self,
        model: MPlus,
        tmp_path_factory: pytest.TempPathFactory,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        place = tmp_path_factory.mktemp("broken")
        with serving(model, place, loopback=True) as world:
            headers = world.fresh()

            async def broken(self: object, *_: object) -> Any:
                yield "Some"
                raise RateLimitedError("too much", 1.0)

            monkeypatch.setattr("mplus_ray.services.api.ask.openai_talk.Talk._pieces", broken)
            asked: dict[str, dict[str, Any]] = {
                "/v1/responses": {"input": QUESTION},
                "/v1/completions": {"prompt": QUESTION},
                "/v1/chat/completions": {"messages": WHO},
            }
            for path, body in asked.items():
                sent = {"model": MODEL, "stream": True, **body}
                answer = world.client.post(path, json=sent, headers=headers)
                assert answer.status_code == 200, answer.text
                *_, last = [line for line in answer.text.splitlines() if line[:5] == "data:"]
                assert "rate_limit_exceeded" in last, path


class TestCompletions:
    def test_it_says_what_a_chat_says(self, api: ApiWorld) -> None:
        headers = api.fresh()
        api.memorize(headers, RAVEN, id="bird")
        with client(api, headers) as ai:
            said = ai.completions.create(model=MODEL, prompt=QUESTION, max_tokens=9)
            listed = ai.completions.create(model=MODEL, prompt=[QUESTION], max_tokens=9)
            chat = ai.chat.completions.create(model=MODEL, messages=WHO, max_tokens=9)
        assert said.object == "text_completion"
        assert said.choices[0].text == chat.choices[0].message.content == listed.choices[0].text
        assert said.choices[0].finish_reason == "length"
        assert said.usage == chat.usage
        assert said.model_extra["mplus"]["citations"]  # type: ignore[index]

    def test_a_stream(self, api: ApiWorld) -> None:
        headers = api.fresh()
        api.memorize(headers, RAVEN)
        asked: Any = {"model": MODEL, "prompt": QUESTION, "max_tokens": 20}
        with client(api, headers) as ai:
            whole = ai.completions.create(**asked)
            options: Any = {"include_usage": True}
            chunks = list(ai.completions.create(**asked, stream=True, stream_options=options))
        *pieces, last, usage = chunks
        assert len(pieces) > 3
        assert "".join(each.choices[0].text for each in pieces).strip() == whole.choices[0].text
        assert all(each.choices[0].finish_reason is None for each in pieces)
        assert last.choices[0].finish_reason == "length"
        assert last.model_extra["mplus"]["step"] > 0
        assert (usage.choices, usage.usage) == ([], whole.usage)

    @pytest.mark.parametrize(
        ("change", "param"),
        [
            ({"prompt": ["a", "b"]}, "prompt"),
            ({"prompt": []}, "prompt"),
            ({"echo": True}, "echo"),
            ({"best_of": 2}, "best_of"),
            ({"suffix": "end"}, "suffix"),
            ({"logprobs": 2}, "logprobs"),
            ({"extra_body": {"messages": WHO}}, "messages"),
        ],
    )
    def test_what_it_cannot_do(self, api: ApiWorld, change: dict[str, Any], param: str) -> None:
        sent: dict[str, Any] = {"model": MODEL, "prompt": QUESTION, **change}
        with (
            client(api, api.fresh()) as ai,
            pytest.raises(openai.UnprocessableEntityError) as found,
        ):
            ai.completions.create(**sent)
        assert found.value.param == param


class TestParameters:
    @pytest.mark.parametrize(
        ("change", "param"),
        [
            ({"logit_bias": {"50256": -100}}, "logit_bias"),
            ({"n": 2}, "n"),
            ({"top_logprobs": 2}, "top_logprobs"),
            ({"logprobs": True}, "logprobs"),
            ({"stop": list("abcde")}, "stop"),
            ({"tools": [{"type": "function"}]}, "tools.0.type"),
            ({"tools": [TOOL, TOOL]}, "tools"),
            ({"tool_choice": "required"}, "tool_choice"),
            ({"tools": [TOOL], "tool_choice": "any"}, "tool_choice"),
            ({"tools": [TOOL], "tool_choice": NAMED, "stop": "x"}, "stop"),
            ({"functions": [{"name": "f"}]}, "functions"),
            ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
            ({"response_format": {"type": "grammar"}}, "response_format.type"),
            ({"response_format": "json"}, "response_format"),
            ({"modalities": ["text", "audio"]}, "modalities"),
            ({"temprature": 0.5}, "temprature"),
            ({"maxTokens": 5}, "maxTokens"),
            ({"max-tokens": 5}, "max-tokens"),
            ({"messages": [{"role": "tool", "content": "x"}]}, "messages"),
            ({"messages": [{"role": "function", "content": "x"}, *WHO]}, "messages.0.role"),
            ({"messages": [{"role": "user", "content": [{"type": "file"}]}]}, "messages.0.content"),
            ({"messages": [{"role": "user", "content": 3}]}, "messages.0.content"),
            (
                {"messages": [{"role": "assistant", "content": "", "tool_calls": [{}]}, *WHO]},
                "messages.0.tool_calls.0.id",
            ),
            ({"temperature": "hot"}, "temperature"),
        ],
    )
    def test_what_cannot_be_honoured_is_refused_by_its_name(
        self, api: ApiWorld, change: dict[str, Any], param: str
    ) -> None:
        error = chat(api, api.fresh(), **change)["error"]
        assert error["param"] == param, error
        assert error["type"] == "invalid_request_error"

    def test_a_misspelt_one_is_told_what_is_meant(self, api: ApiWorld) -> None:
        error = chat(api, api.fresh(), temprature=0.5)["error"]
        assert "is temperature meant?" in error["message"]

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("frequency_penalty", 0.5),
            ("presence_penalty", -1),
            ("reasoning_effort", "high"),
            ("user", "somebody"),
            ("verbosity", "low"),
            ("service_tier", "flex"),
            ("chat_template_kwargs", {"a": 1}),
        ],
    )
    def test_what_changes_nothing_is_named_in_a_warning(
        self, api: ApiWorld, name: str, value: Any
    ) -> None:
        (warning,) = chat(api, api.fresh(), **{name: value})["mplus"]["warnings"]
        assert warning.startswith(f"{name} was not read: ")

    def test_so_it_is_in_a_stream_and_in_parts_of_messages(self, api: ApiWorld) -> None:
        part = {"type": "text", "text": QUESTION, "cache_control": {"type": "ephemeral"}}
        messages: Any = [{"role": "user", "name": "ann", "content": [part]}]
        with client(api, api.fresh()) as ai:
            chunks = list(
                ai.chat.completions.create(
                    model=MODEL, messages=messages, max_tokens=3, stream=True, seed=7
                )
            )
        assert chunks[-1].model_extra["mplus"]["warnings"] == [  # type: ignore[index]
            "messages.0.name was not read",
            "messages.0.content.0.cache_control was not read",
        ]

    def test_at_its_default_nothing_is_said_of_one(self, api: ApiWorld) -> None:
        defaults = {
            "frequency_penalty": 0.0,
            "presence_penalty": 0,
            "logit_bias": {},
            "logprobs": False,
            "top_logprobs": None,
            "n": 1,
            "tools": [],
            "tool_choice": "auto",
            "parallel_tool_calls": True,
            "response_format": {"type": "text"},
            "reasoning_effort": "none",
            "service_tier": "auto",
            "modalities": ["text"],
        }
        assert chat(api, api.fresh(), **defaults)["mplus"]["warnings"] == []

    def test_seed_and_top_k_are_honoured(self, api: ApiWorld) -> None:
        headers = api.fresh()
        api.memorize(headers, RAVEN)
        drawn = {"temperature": 2, "max_tokens": 12, "threshold": 0}
        said = [
            chat(api, headers, **drawn, **change)["choices"][0]["message"]["content"]
            for change in ({"seed": 1}, {"seed": 1}, {"seed": 2}, {"seed": 1, "top_k": 1})
        ]
        greedy = chat(api, headers, max_tokens=12, threshold=0)["choices"][0]["message"]["content"]
        assert said[0] == said[1] != said[2]
        assert said[3] == greedy


class TestErrors:
    @pytest.mark.parametrize(
        ("method", "path", "hint"),
        [
            ("POST", "/v1/embeddings", "`POST /v1/search`"),
            ("GET", "/v1/files", "`POST /v1/documents`"),
            ("POST", "/v1/files", "`POST /v1/documents`"),
            ("POST", "/v1/vector_stores/vs_1/search", "`POST /v1/search`"),
            ("POST", "/v1/assistants", "`POST /v1/chat/completions`"),
            ("GET", "/v1/responses/resp_1", "responses are not kept"),
            ("GET", "/v1/chat/completions/chatcmpl-1", "completions are not kept"),
            ("POST", "/v1/images/generations", "text only"),
            ("POST", "/v1/nothing", "/openapi.json"),
            ("GET", "/v1/", "/openapi.json"),
        ],
    )
    def test_what_there_is_not_says_what_to_use(
        self, api: ApiWorld, method: str, path: str, hint: str
    ) -> None:
        answer = api.client.request(method, path, headers=api.fresh())
        assert answer.status_code == 404
        error = answer.json()["error"]
        assert error.keys() == {"message", "type", "param", "code"}
        assert (error["type"], error["code"]) == ("invalid_request_error", "unknown_url")
        assert hint in error["message"]

    @pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/v1/responses"])
    def test_every_error_has_its_shape(self, api: ApiWorld, path: str) -> None:
        headers = api.fresh()
        answers = [
            api.client.get(path, headers=headers),
            api.client.post(path, json={}),
            api.client.post(path, json={}, headers=headers),
            api.client.post(path, content=b"{", headers=headers),
            api.client.post(path, content=b" " * (2 << 20), headers=headers),
            api.client.post(path, content=b"x", headers={**headers, "content-encoding": "br"}),
            api.client.post(path, json={"model": "gpt-5", "messages": WHO, "input": "?"}),
        ]
        assert [each.status_code for each in answers] == [405, 401, 422, 422, 413, 415, 401]
        for answer in answers:
            assert answer.headers["content-type"] == "application/json"
            error = answer.json()["error"]
            assert error.keys() == {"message", "type", "param", "code"}
            assert error["message"]

    def test_our_own_routes_have_problem_details(self, api: ApiWorld) -> None:
        for path in ("/v1/documents/none", "/v1/query", "/nothing"):
            answer = api.client.get(path, headers=api.fresh())
            assert answer.headers["content-type"] == "application/problem+json"

    def test_each_route_is_of_one_kind(self, api: ApiWorld) -> None:
        described = api.client.get("/openapi.json").json()["paths"]
        ours = {path.split("/")[2] for path in described if path.startswith("/v1/")}
        assert ours - OWN == {"chat", "completions", "models", "responses"}
        assert ours > OWN


class TestWithheld:
    @pytest.fixture(autouse=True)
    def _half_sure(self, model: MPlus, monkeypatch: pytest.MonkeyPatch) -> None:
        half = Confidence(("certainty",), (0.0,), 0.0, 0.7, model.fingerprint)
        monkeypatch.setattr(model, "confidence", half)

    def test_no_protocol_says_a_word_before_the_confidence_is_known(self, sure: ApiWorld) -> None:
        headers = sure.fresh()
        sure.memorize(headers, RAVEN)
        with client(sure, headers) as ai:
            whole = ai.responses.create(model=MODEL, input=QUESTION, max_output_tokens=9)
            events = list(
                ai.responses.create(model=MODEL, input=QUESTION, max_output_tokens=9, stream=True)
            )
            chunks = list(
                ai.completions.create(model=MODEL, prompt=QUESTION, max_tokens=9, stream=True)
            )
        told = [each.delta for each in events if each.type == "response.output_text.delta"]
        said = [chunk.choices[0].text for chunk in chunks if chunk.choices[0].text]
        assert whole.output_text == REFUSAL
        assert told == said == [REFUSAL]


@pytest.mark.timeout(200)
def test_the_client_for_javascript(api: ApiWorld, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = npm.installed(tmp_path_factory.mktemp("node"), "openai@7")
    headers = api.fresh()
    api.memorize(headers, RAVEN)
    key = headers["authorization"].removeprefix("Bearer ")
    said = npm.run(folder, JAVASCRIPT, URL=f"{api.url}/v1", KEY=key)
    assert said["chat"] == said["streamed"].strip() == said["response"] == said["completion"]
    assert said["kinds"][0] == "response.created"
    assert said["kinds"][-1] == "response.incomplete"
    assert re.fullmatch(r"[0-9a-f]{32}", said["request_id"])
    assert (said["failed"]["status"], said["failed"]["code"]) == (404, "unknown_url")
    assert "POST /v1/search" in said["failed"]["message"]
    assert re.fullmatch(r"[0-9a-f]{32}", said["failed"]["requestID"])
    assert said["wrong"] == {"status": 422, "param": "n", "type": "invalid_request_error"}
