"""A conversation by HTTP, spoken by OpenAI's client: what is put to memory and what is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from openai import OpenAI

from mplus_ray.actors.messages import AskResult
from mplus_ray.actors.reading.request import ReadRequest
from mplus_ray.model import MPlus
from mplus_ray.model.generation.confidence import Confidence
from mplus_ray.pipeline.reading.abstention import REFUSAL
from mplus_ray.services.api.ask.conversation import (
    ABOUT,
    EMPTY,
    NOT_ASKED,
    NOTHING_KNOWN,
    NOTHING_SAID,
)
from tests.api_world import SECONDS, ApiWorld, endless_model, serving

MODEL = "mplus-test"
RAVEN = "The raven is black and sits in the tall tree. The owl is grey."
WHO = {"role": "user", "content": "Who is black?"}


def said(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def turn(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> MPlus:
    return endless_model(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="module")
def api(model: MPlus, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiWorld]:
    place = tmp_path_factory.mktemp("talk")
    with serving(model, place, loopback=True, confident=True) as world:
        yield world


@pytest.fixture
def sure(model: MPlus, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every answer is trusted."""
    monkeypatch.setattr(
        model, "confidence", Confidence(("certainty",), (0.0,), 9.0, 0.7, model.fingerprint)
    )


@pytest.fixture
def unsure(model: MPlus, monkeypatch: pytest.MonkeyPatch) -> None:
    """No answer is."""
    monkeypatch.setattr(
        model, "confidence", Confidence(("certainty",), (0.0,), 0.0, 0.7, model.fingerprint)
    )


@pytest.fixture
def headers(api: ApiWorld) -> dict[str, str]:
    headers = api.fresh()
    api.memorize(headers, RAVEN, id="bird", title="Birds")
    return headers


def talk(
    api: ApiWorld, headers: dict[str, str], *messages: dict[str, str], **more: Any
) -> tuple[str, dict[str, Any]]:
    """The reply, and the field `mplus` beside it."""
    secret = headers["authorization"].removeprefix("Bearer ")
    sent: Any = list(messages)
    with OpenAI(base_url=f"{api.url}/v1", api_key=secret, max_retries=0, timeout=SECONDS) as client:
        reply = client.chat.completions.create(model=MODEL, messages=sent, max_tokens=9, **more)
    extra = reply.model_extra
    assert extra is not None
    return str(reply.choices[0].message.content), extra["mplus"]


class TestTalk:
    @pytest.mark.parametrize(
        ("words", "reply"),
        [("Hello!", f"Hello! {ABOUT}"), ("Thanks a lot.", "You are welcome."), ("ok", ABOUT)],
    )
    def test_memory_is_not_asked(
        self, api: ApiWorld, headers: dict[str, str], words: str, reply: str
    ) -> None:
        asked = api.answering.stats().asked
        text, extra = talk(api, headers, turn(words))
        assert text == reply
        assert api.answering.stats().asked == asked
        assert (extra["turn"], extra["citations"], extra["abstained"]) == ("talk", [], False)
        assert extra["step"] > 0

    def test_who_has_nothing_in_memory_is_told_what_to_do(self, api: ApiWorld) -> None:
        assert talk(api, api.fresh(), turn("Good morning"))[0] == f"Hello! {EMPTY}"

    def test_the_assistant_says_what_it_is(self, api: ApiWorld, headers: dict[str, str]) -> None:
        text, extra = talk(api, headers, turn("What can you do?"))
        assert (text, extra["turn"]) == (ABOUT, "assistant")

    def test_a_stream_has_the_same_words(self, api: ApiWorld, headers: dict[str, str]) -> None:
        secret = headers["authorization"].removeprefix("Bearer ")
        with OpenAI(base_url=f"{api.url}/v1", api_key=secret, timeout=SECONDS) as client:
            sent: Any = [turn("Hello!")]
            chunks = list(client.chat.completions.create(model=MODEL, messages=sent, stream=True))
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        assert text == f"Hello! {ABOUT}"
        assert chunks[-1].choices[0].finish_reason == "stop"

    def test_of_a_stored_turn_the_services_own_words_are_not_memorized(
        self, api: ApiWorld, headers: dict[str, str]
    ) -> None:
        _, extra = talk(api, headers, turn("Thanks!"), store=True)
        assert api.log(headers).text(extra["stored"]) == "User: Thanks!"


class TestSource:
    def test_the_sentence_with_the_answer_is_cited(
        self, api: ApiWorld, headers: dict[str, str], sure: None
    ) -> None:
        messages = [WHO, said("raven"), turn("Who told you that?")]
        text, extra = talk(api, headers, *messages)
        assert text.startswith("Birds: “The raven")  # chunks of this model are a few words
        assert extra["turn"] == "source"
        assert {each["document_id"] for each in extra["citations"]} == {"bird"}
        assert "raven" in extra["citations"][0]["text"]

    def test_thanks_between_do_not_hide_it(
        self, api: ApiWorld, headers: dict[str, str], sure: None
    ) -> None:
        messages = [WHO, said("raven"), turn("Thanks!"), said("You are welcome.")]
        text, _ = talk(api, headers, *messages, turn("Which document says so?"))
        assert text.startswith("Birds: ")

    def test_words_that_no_passage_has_are_not_laid_at_its_door(
        self, api: ApiWorld, headers: dict[str, str], sure: None
    ) -> None:
        text, _ = talk(api, headers, WHO, said("the whale"), turn("How do you know?"))
        assert text == "No passage has these words. The one nearest to the question is in Birds."

    def test_what_memory_does_not_answer_has_no_source(
        self, api: ApiWorld, headers: dict[str, str], unsure: None
    ) -> None:
        text, extra = talk(api, headers, WHO, said("raven"), turn("Source?"))
        assert (text, extra["citations"]) == (NOTHING_KNOWN, [])

    def test_talk_has_no_source(self, api: ApiWorld, headers: dict[str, str]) -> None:
        messages = [turn("Hello"), said("Hello!"), turn("Who told you that?")]
        assert talk(api, headers, *messages)[0] == NOTHING_SAID


class TestSentence:
    """The reader's words are put in place: this model's own are in no passage."""

    @pytest.fixture
    def says(self, sure: None, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
        told = ReadRequest.told

        def says(text: str) -> None:
            def instead(self: ReadRequest, model: MPlus) -> AskResult:
                result = told(self, model)
                return replace(result, answer=replace(result.answer, text=text))

            monkeypatch.setattr(ReadRequest, "told", instead)

        return says

    def test_it_is_the_passages_own(
        self, api: ApiWorld, headers: dict[str, str], says: Callable[[str], None]
    ) -> None:
        says("raven")
        assert talk(api, headers, WHO)[0] == "raven"
        text, extra = talk(api, headers, turn("In a full sentence: Who is black?"))
        assert text.startswith("The raven")
        assert extra["turn"] == "memory"

    def test_words_that_no_passage_has_stay_bare(
        self, api: ApiWorld, headers: dict[str, str], says: Callable[[str], None]
    ) -> None:
        says("the whale")
        system = {"role": "system", "content": "Answer in full sentences."}
        assert talk(api, headers, system, WHO)[0] == "the whale"


class TestRefusal:
    def test_it_is_a_sentence_and_names_no_passages(
        self, api: ApiWorld, headers: dict[str, str], unsure: None
    ) -> None:
        text, extra = talk(api, headers, WHO)
        assert (text, extra["citations"], extra["abstained"]) == (REFUSAL, [], True)
        assert extra["turn"] == "memory"

    def test_to_a_statement_it_says_what_can_be_asked(
        self, api: ApiWorld, headers: dict[str, str], unsure: None
    ) -> None:
        text, extra = talk(api, headers, turn("My name is Bob."))
        assert (text, extra["citations"], extra["abstained"]) == (NOT_ASKED, [], True)
