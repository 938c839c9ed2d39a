"""OpenAI's protocol, spoken by its official client, unchanged, with a real server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from mplus_ray.actors.messages import AskResult
from mplus_ray.actors.reading.request import ReadRequest
from mplus_ray.model import MPlus
from mplus_ray.model.generation.confidence import Confidence
from mplus_ray.pipeline.reading.abstention import REFUSAL
from tests.api_world import SECONDS, ApiWorld, endless_model, serving, until

MODEL = "mplus-test"
RAVEN = "The raven is black and sits in the tall tree."
WHO: list[Any] = [{"role": "user", "content": "Who is black?"}]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> MPlus:
    return endless_model(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="module")
def api(model: MPlus, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiWorld]:
    with serving(model, tmp_path_factory.mktemp("openai"), loopback=True) as world:
        yield world


@pytest.fixture(scope="module")
def sure(model: MPlus, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiWorld]:
    """A service whose model may withhold answers."""
    place = tmp_path_factory.mktemp("sure")
    with serving(model, place, loopback=True, confident=True) as world:
        yield world


def client(api: ApiWorld, headers: dict[str, str]) -> OpenAI:
    secret = headers["authorization"].removeprefix("Bearer ")
    return OpenAI(base_url=f"{api.url}/v1", api_key=secret, max_retries=0, timeout=SECONDS)


def test_a_completion(api: ApiWorld) -> None:
    headers = api.fresh()
    api.memorize(headers, RAVEN, id="bird")
    with client(api, headers) as ai:
        said = ai.chat.completions.create(model=MODEL, messages=WHO, max_tokens=9)
    assert said.object == "chat.completion"
    assert said.model == MODEL
    (choice,) = said.choices
    assert choice.finish_reason == "length"
    assert choice.message.role == "assistant"
    assert said.usage is not None
    assert said.usage.completion_tokens == 9
    assert said.usage.total_tokens == said.usage.prompt_tokens + 9
    recalled = said.model_extra["mplus"]  # type: ignore[index]
    assert {each["document_id"] for each in recalled["citations"]} == {"bird"}
    assert recalled["abstained"] is False


def test_the_answer_is_that_of_query(api: ApiWorld) -> None:
    headers = api.fresh()
    api.memorize(headers, RAVEN)
    with client(api, headers) as ai:
        said = ai.chat.completions.create(model=MODEL, messages=WHO, max_tokens=20)
    told = api.ask(headers, "Who is black?", max_tokens=20).json()
    assert said.choices[0].message.content == told["answer"]


def test_a_stream(api: ApiWorld) -> None:
    headers = api.fresh()
    api.memorize(headers, RAVEN)
    with client(api, headers) as ai:
        whole = ai.chat.completions.create(model=MODEL, messages=WHO, max_tokens=20)
        options: Any = {"include_usage": True}
        chunks = list(
            ai.chat.completions.create(
                model=MODEL, messages=WHO, max_tokens=20, stream=True, stream_options=options
            )
        )
    first, *middle, last, usage = chunks
    assert first.choices[0].delta.role == "assistant"
    text = "".join(chunk.choices[0].delta.content or "" for chunk in middle)
    assert len(middle) > 3
    assert text.strip() == whole.choices[0].message.content
    assert last.choices[0].finish_reason == "length"
    assert last.model_extra["mplus"]["step"] > 0  # type: ignore[index]
    assert usage.choices == []
    assert usage.usage == whole.usage
    assert len({chunk.id for chunk in chunks}) == 1


def test_without_being_asked_a_stream_has_no_usage(api: ApiWorld) -> None:
    with client(api, api.fresh()) as ai:
        chunks = list(
            ai.chat.completions.create(model=MODEL, messages=WHO, max_tokens=3, stream=True)
        )
    assert all(chunk.usage is None for chunk in chunks)
    assert chunks[-1].choices[0].finish_reason == "length"


def test_the_asynchronous_client(api: ApiWorld) -> None:
    headers = api.fresh()
    secret = headers["authorization"].removeprefix("Bearer ")

    async def talk() -> tuple[str | None, str]:
        async with AsyncOpenAI(base_url=f"{api.url}/v1", api_key=secret, max_retries=0) as ai:
            whole = await ai.chat.completions.create(model=MODEL, messages=WHO, max_tokens=9)
            stream = await ai.chat.completions.create(
                model=MODEL, messages=WHO, max_tokens=9, stream=True
            )
            pieces = [chunk.choices[0].delta.content or "" async for chunk in stream]
        return whole.choices[0].message.content, "".join(pieces)

    whole, pieces = asyncio.run(talk())
    assert whole == pieces.strip()


def test_a_stream_that_is_closed_frees_its_slot(api: ApiWorld) -> None:
    before = api.answering.stats().cancelled
    with client(api, api.fresh()) as ai:
        stream = ai.chat.completions.create(
            model=MODEL,
            messages=WHO,
            max_tokens=2000,
            stream=True,
            extra_body={"threshold": 0},
        )
        next(stream)
        next(stream)
        stream.close()
    until(lambda: api.answering.stats().cancelled == before + 1, 5.0)
    assert api.answering.stats().running == 0


def test_conversations_and_parts(api: ApiWorld) -> None:
    messages: list[Any] = [
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": [{"type": "text", "text": "Be kind."}]},
        {"role": "user", "content": "Hello."},
        {"role": "assistant", "content": "Yes?"},
        {"role": "user", "content": [{"type": "text", "text": part} for part in ("Who", "?")]},
    ]
    with client(api, api.fresh()) as ai:
        said = ai.chat.completions.create(
            model=MODEL,
            messages=messages,
            max_completion_tokens=5,
            temperature=0.7,
            top_p=0.0,
            seed=-3,
            stop=["\n\n"],
            n=1,
            presence_penalty=0.5,
            user="somebody",
        )
    assert said.usage is not None
    assert said.usage.completion_tokens == 5


def test_models(api: ApiWorld) -> None:
    with client(api, api.fresh()) as ai:
        assert [one.id for one in ai.models.list()] == [MODEL]
        assert ai.models.retrieve(MODEL).owned_by == "mplus"
        with pytest.raises(openai.NotFoundError) as found:
            ai.models.retrieve("gpt-5")
    assert found.value.code == "unknown_model"


@pytest.mark.parametrize(
    "change",
    [
        {"n": 2},
        {"messages": []},
        {"messages": [{"role": "assistant", "content": "I"}]},
        {"messages": [{"role": "user", "content": ""}]},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
        {"messages": [{"role": "tool", "tool_call_id": "1", "content": "x"}]},
        {"tools": [{"type": "custom", "custom": {"name": "f"}}]},
        {"response_format": {"type": "json_schema"}},
        {"logprobs": True},
        {"stop": ["a"] * 5},
        {"max_tokens": 10**6},
        {"temperature": 3.0},
        {"extra_body": {"citations": 21}},
        {"extra_body": {"as_of": 99}},
    ],
)
def test_what_a_memory_cannot_do(api: ApiWorld, change: dict[str, Any]) -> None:
    sent: dict[str, Any] = {"model": MODEL, "messages": WHO, "max_tokens": 3, **change}
    with client(api, api.fresh()) as ai, pytest.raises(openai.UnprocessableEntityError) as found:
        ai.chat.completions.create(**sent)
    assert found.value.type == "invalid_request_error"
    assert found.value.body["message"]  # type: ignore[index]


def test_errors_are_of_the_clients_own_kinds(api: ApiWorld) -> None:
    with client(api, {"authorization": "Bearer wrong"}) as ai:
        with pytest.raises(openai.AuthenticationError) as found:
            ai.chat.completions.create(model=MODEL, messages=WHO)
        assert found.value.code == "invalid_api_key"
    with client(api, api.fresh("ingest")) as ai, pytest.raises(openai.PermissionDeniedError):
        ai.chat.completions.create(model=MODEL, messages=WHO)
    with client(api, api.fresh()) as ai, pytest.raises(openai.NotFoundError):
        ai.chat.completions.create(model="gpt-5", messages=WHO)
    with client(api, api.fresh(concurrent_questions=0)) as ai:
        with pytest.raises(openai.RateLimitError) as limited:
            ai.chat.completions.create(model=MODEL, messages=WHO)
        assert limited.value.code == "rate_limit_exceeded"


class TestStore:
    def test_a_turn_is_memorized(self, api: ApiWorld) -> None:
        headers = api.fresh()
        with client(api, headers) as ai:
            said = ai.chat.completions.create(
                model=MODEL, messages=WHO, max_tokens=9, store=True, extra_body={"threshold": 0}
            )
        reply = said.choices[0].message.content
        key = said.model_extra["mplus"]["stored"]  # type: ignore[index]
        assert api.log(headers).text(key) == f"User: Who is black?\nAssistant: {reply}"

    def test_only_new_turns_are(self, api: ApiWorld) -> None:
        headers = api.fresh()
        messages: list[Any] = [
            {"role": "system", "content": "Be brief."},
            *WHO,
            {"role": "assistant", "content": "The raven."},
            {"role": "user", "content": "Where does it sit?"},
        ]
        with client(api, headers) as ai:
            chunks = list(
                ai.chat.completions.create(
                    model=MODEL,
                    messages=messages,
                    max_tokens=9,
                    store=True,
                    stream=True,
                    extra_body={"threshold": 0},
                )
            )
        key = chunks[-1].model_extra["mplus"]["stored"]  # type: ignore[index]
        text = api.log(headers).text(key)
        assert text.startswith("User: Where does it sit?\nAssistant: ")
        assert "raven" not in text
        assert len(api.log(headers).documents()) == 1

    def test_it_needs_a_key_that_may(self, api: ApiWorld) -> None:
        headers = api.fresh("query")
        with client(api, headers) as ai, pytest.raises(openai.PermissionDeniedError):
            ai.chat.completions.create(model=MODEL, messages=WHO, store=True)
        assert not api.log(headers).documents()

    def test_it_is_counted_before_it_is_answered(self, api: ApiWorld) -> None:
        with client(api, api.fresh(documents_per_minute=0)) as ai:
            asked = api.answering.stats().asked
            with pytest.raises(openai.RateLimitError):
                ai.chat.completions.create(model=MODEL, messages=WHO, store=True)
            assert api.answering.stats().asked == asked
            ai.chat.completions.create(model=MODEL, messages=WHO, max_tokens=2)


class TestAbstention:
    @pytest.fixture(autouse=True)
    def _half_sure(self, model: MPlus, monkeypatch: pytest.MonkeyPatch) -> None:
        half = Confidence(("certainty",), (0.0,), 0.0, 0.7, model.fingerprint)
        monkeypatch.setattr(model, "confidence", half)

    def test_no_word_is_said_that_would_have_to_be_taken_back(self, sure: ApiWorld) -> None:
        with client(sure, sure.fresh()) as ai:
            chunks = list(
                ai.chat.completions.create(model=MODEL, messages=WHO, max_tokens=9, stream=True)
            )
        said = [chunk.choices[0].delta.content for chunk in chunks]
        assert [text for text in said if text] == [REFUSAL]
        assert chunks[-1].model_extra["mplus"]["abstained"]  # type: ignore[index]

    def test_an_answer_that_is_trusted_is_said_at_its_end(self, sure: ApiWorld) -> None:
        with client(sure, sure.fresh(threshold=0.3)) as ai:
            whole = ai.chat.completions.create(model=MODEL, messages=WHO, max_tokens=9)
            chunks = list(
                ai.chat.completions.create(model=MODEL, messages=WHO, max_tokens=9, stream=True)
            )
        said = [chunk.choices[0].delta.content for chunk in chunks]
        assert [text for text in said if text] == [whole.choices[0].message.content]

    def test_who_wants_every_answer_gets_it_as_it_comes(self, sure: ApiWorld) -> None:
        with client(sure, sure.fresh(threshold=0.0)) as ai:
            chunks = list(
                ai.chat.completions.create(model=MODEL, messages=WHO, max_tokens=20, stream=True)
            )
        assert len(chunks) > 5

    def test_a_refusal_is_not_memorized(self, sure: ApiWorld) -> None:
        headers = sure.fresh()
        with client(sure, headers) as ai:
            said = ai.chat.completions.create(model=MODEL, messages=WHO, store=True, max_tokens=3)
        key = said.model_extra["mplus"]["stored"]  # type: ignore[index]
        assert sure.log(headers).text(key) == "User: Who is black?"

    @pytest.mark.parametrize("words", ["unknown", " Unknown.", "not said", "\n"])
    @pytest.mark.parametrize("stream", [False, True])
    def test_nor_is_what_the_model_itself_does_not_know(
        self, sure: ApiWorld, monkeypatch: pytest.MonkeyPatch, words: str, stream: bool
    ) -> None:
        """Also where it is shown, because nothing is to be withheld."""
        told = ReadRequest.told

        def at_a_loss(question: ReadRequest, model: MPlus) -> AskResult:
            result = told(question, model)
            return replace(result, answer=replace(result.answer, text=words))

        monkeypatch.setattr(ReadRequest, "told", at_a_loss)
        headers = sure.fresh()
        sure.memorize(headers, "The raven is black.")
        asked: dict[str, Any] = {"model": MODEL, "messages": WHO, "store": True, "max_tokens": 3}
        asked["extra_body"] = {"threshold": 0}
        with client(sure, headers) as ai:
            if stream:
                *_, last = ai.chat.completions.create(**asked, stream=True)
            else:
                last = ai.chat.completions.create(**asked)
        key = last.model_extra["mplus"]["stored"]
        assert not last.model_extra["mplus"]["abstained"]
        assert sure.log(headers).text(key) == "User: Who is black?"
