"""Questions over HTTP: answers, their passages, moments, streams, and what goes wrong."""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncGenerator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest

from mplus_ray.actors.messages import AskRequest, AskResult, TextDelta
from mplus_ray.model import MPlus
from mplus_ray.model.errors import DamagedFileError
from mplus_ray.model.generation.confidence import Confidence
from mplus_ray.pipeline.reading.abstention import REFUSAL
from mplus_ray.services.api.ask.local_readers import LocalReaders
from mplus_ray.services.api.deps import Limits
from tests.api_world import ApiWorld, endless_model, serving, until

RAVEN = "The raven is black and sits in the tall tree."


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> MPlus:
    return endless_model(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="module")
def api(model: MPlus, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiWorld]:
    limits = Limits(question_characters=2000, question_tokens=1500, max_tokens=2000)
    place = tmp_path_factory.mktemp("query")
    with serving(model, place, limits=limits, loopback=True) as world:
        yield world


@pytest.fixture
def unsure(model: MPlus, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model is sure of every answer by one half, and would withhold all of them."""
    half = Confidence(("certainty",), (0.0,), 0.0, 0.7, model.fingerprint)
    monkeypatch.setattr(model, "confidence", half)


def events(answer: httpx2.Response | str) -> list[tuple[str, Any]]:
    """(name, data) of each."""
    found = []
    text = answer if isinstance(answer, str) else answer.text
    for block in text.strip().split("\n\n"):
        name, data = block.split("\n")
        found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


def test_an_answer_comes_with_its_passages(api: ApiWorld) -> None:
    headers = api.fresh()
    api.memorize(headers, RAVEN, id="bird", title="Raven")
    answer = api.ask(headers, "What is black?", citations=20)
    assert answer.status_code == 200
    told = answer.json()
    assert told["usage"]["completion_tokens"] == 4
    assert told["usage"]["prompt_tokens"] > 0
    assert told["usage"]["memory_rows"] > 0
    assert (told["finish_reason"], told["waiting"]) == ("length", 0)
    assert (told["confidence"], told["abstained"]) == (None, False)
    assert told["step"] == api.client.get("/v1/memory", headers=headers).json()["step"]
    assert len(told["citations"]) == told["step"]
    scores = [each["score"] for each in told["citations"]]
    assert scores == sorted(scores, reverse=True)
    for each in told["citations"]:
        assert (each["document_id"], each["title"], each["source"]) == ("bird", "Raven", "bird")
        assert each["text"] == RAVEN[each["start"] : each["end"]]


@pytest.mark.parametrize(("wanted", "most"), [(0, 0), (False, 0), (1, 1), (True, 5)])
def test_so_many_citations(api: ApiWorld, wanted: Any, most: int) -> None:
    headers = api.fresh()
    api.memorize(headers, " ".join(["Many words in many chunks of this text."] * 4))
    assert len(api.ask(headers, "Words?", citations=wanted).json()["citations"]) == most


def test_an_empty_memory_abstains(api: ApiWorld) -> None:
    """Whatever its model can say of its confidence; who wants its words gets them by 0."""
    headers = api.fresh()
    told = api.ask(headers, "Anybody?").json()
    assert (told["step"], told["citations"]) == (0, [])
    assert (told["answer"], told["abstained"], told["confidence"]) == (REFUSAL, True, 0)
    *_, (_, last) = events(api.ask(headers, "Anybody?", stream=True))
    assert (last["answer"], last["abstained"]) == (REFUSAL, True)
    for wanted in (
        api.ask(headers, "Anybody?", threshold=0).json(),
        api.ask(api.fresh(threshold=0.0), "Anybody?").json(),
    ):
        assert (wanted["abstained"], wanted["confidence"]) == (False, 0)
        assert wanted["answer"] != REFUSAL
        assert wanted["usage"]["completion_tokens"] == 4
    api.memorize(headers, RAVEN, id="bird")
    assert not api.ask(headers, "Anybody?").json()["abstained"]
    assert api.ask(headers, "Anybody?", as_of=0).json()["abstained"]
    api.client.delete("/v1/documents/bird", headers=headers)
    assert api.ask(headers, "Anybody?").json()["abstained"], "all of it is masked"


def test_the_same_question_has_the_same_answer(api: ApiWorld) -> None:
    headers = api.fresh()
    api.memorize(headers, RAVEN)
    drawn = {"temperature": 1.5, "seed": 7, "top_p": 0.9, "top_k": 50, "max_tokens": 12}
    first, second = (api.ask(headers, "Who?", **drawn).json()["answer"] for _ in range(2))
    assert first == second


def test_a_question_waits_for_what_was_handed_in(api: ApiWorld) -> None:
    headers = api.fresh()
    for number in range(3):
        sent = {"text": f"Number {number} comes now."}
        taken = api.client.post("/v1/documents", json=sent, headers=headers).json()
        told = api.ask(headers, "Which?", min_step=taken["min_step"]).json()
        assert told["step"] >= taken["min_step"]


def test_a_question_does_not_wait_for_ever(model: MPlus, tmp_path: Path) -> None:
    limits = Limits(answer_seconds=0.3, catch_up_seconds=0.1)
    with serving(model, tmp_path, limits=limits, writer=False) as api:
        headers = api.fresh()
        api.client.post("/v1/documents", json={"text": RAVEN}, headers=headers)
        answer = api.ask(headers, "Who?", min_step=1)
        assert answer.status_code == 504
        assert int(answer.headers["retry-after"]) >= 1
        assert answer.json()["type"] == "urn:mplus:problem:not-yet"
        slow = api.ask(headers, "Who?", max_tokens=2000)
        assert slow.status_code == 504
        assert slow.json()["type"] == "urn:mplus:problem:deadline"
        until(lambda: api.answering.stats().running == 0)


def test_the_past_can_be_asked(api: ApiWorld) -> None:
    headers = api.fresh()
    first = api.memorize(headers, RAVEN, id="bird")
    step = first["min_step"]
    shown = api.client.get(first["status_url"], headers=headers).json()
    api.client.post("/v1/memory/snapshot", json={"name": "then"}, headers=headers)
    api.memorize(headers, "The owl is brown and sleeps all day.", id="owl")
    for moment in (
        {"as_of": step},
        {"as_of": str(step)},
        {"as_of": shown["memorized"]},
        {"snapshot": "then"},
    ):
        told = api.ask(headers, "Who?", citations=20, **moment).json()
        assert told["step"] == step
        assert {each["document_id"] for each in told["citations"]} == {"bird"}
    assert api.ask(headers, "Who?", as_of="2020-01-01").json()["step"] == 0


@pytest.mark.parametrize(
    "field",
    [
        {"question": ""},
        {"question": "  "},
        {"question": "x" * 2001},
        {"question": "ü" * 900},
        {"max_tokens": 0},
        {"max_tokens": 2001},
        {"temperature": -1},
        {"temperature": "NaN"},
        {"top_p": 0},
        {"seed": -1},
        {"stop": ""},
        {"stop": ["a"] * 17},
        {"citations": 21},
        {"threshold": -0.1},
        {"threshold": 1.1},
        {"threshold": "NaN"},
        {"min_step": -1},
        {"as_of": "yesterday"},
        {"as_of": 99},
        {"as_of": 1, "snapshot": "a"},
        {"snapshot": "unknown"},
        {"unknown": 1},
    ],
)
def test_a_question_that_cannot_be_asked(api: ApiWorld, field: dict[str, Any]) -> None:
    answer = api.ask(api.fresh(), **{"question": "Who?", **field})
    assert answer.status_code == 422
    assert answer.json()["detail"]


def test_a_stop_ends_the_answer(api: ApiWorld) -> None:
    headers = api.fresh()
    api.memorize(headers, RAVEN)
    whole = api.ask(headers, "Who?", max_tokens=20).json()["answer"]
    stop = whole[3:5]
    told = api.ask(headers, "Who?", max_tokens=20, stop=stop).json()
    assert told["finish_reason"] == "stop"
    assert told["answer"] == whole[: whole.index(stop)].strip()


class TestStream:
    def test_pieces_come_before_the_answer(self, api: ApiWorld) -> None:
        headers = api.fresh()
        api.memorize(headers, RAVEN)
        plain = api.ask(headers, "Who?", max_tokens=20).json()
        answer = api.ask(headers, "Who?", max_tokens=20, stream=True)
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["x-accel-buffering"] == "no"
        *pieces, (name, last) = events(answer)
        assert {piece for piece, _ in pieces} == {"token"}
        assert len(pieces) > 3
        assert "".join(data["text"] for _, data in pieces).strip() == last["answer"]
        assert (name, last) == ("answer", plain)

    def test_what_fails_before_the_first_piece_has_its_status(self, api: ApiWorld) -> None:
        answer = api.ask(api.fresh(), "Who?", stream=True, as_of=99)
        assert answer.status_code == 422
        assert answer.headers["content-type"] == "application/problem+json"

    def test_what_fails_later_is_the_last_event(self, model: MPlus, tmp_path: Path) -> None:
        sent = {"question": "Who?", "max_tokens": 2000, "stream": True}
        with (
            serving(model, tmp_path, writer=False, loopback=True) as api,
            api.client.stream("POST", "/v1/query", json=sent, headers=api.fresh()) as answer,
        ):
            assert answer.status_code == 200
            pieces = answer.iter_text()
            text = next(pieces)
            api.answering.stop()
            text += "".join(pieces)
        *_, (name, problem) = events(text)
        assert name == "error"
        assert (problem["status"], problem["instance"]) == (503, "/v1/query")
        assert problem["request_id"] == answer.headers["x-request-id"]

    def test_a_client_that_goes_away_frees_its_slot(self, api: ApiWorld) -> None:
        headers = api.fresh()
        before = api.answering.stats().cancelled
        sent = {"question": "Who?", "max_tokens": 2000, "stream": True}
        with api.client.stream("POST", "/v1/query", json=sent, headers=headers) as answer:
            pieces = answer.iter_bytes()
            next(pieces)
            assert api.answering.stats().running == 1
        until(lambda: api.answering.stats().running == 0, 3.0)
        assert api.answering.stats().cancelled == before + 1

    def test_so_does_one_that_waits_for_the_whole_answer(self, api: ApiWorld) -> None:
        headers = api.fresh()
        before = api.answering.stats().cancelled
        sent = {"question": "Who?", "max_tokens": 2000}
        with (
            httpx2.Client(base_url=api.url, timeout=0.5) as hasty,
            pytest.raises(httpx2.ReadTimeout),
        ):
            hasty.post("/v1/query", json=sent, headers=headers)
        until(lambda: api.answering.stats().cancelled == before + 1, 3.0)
        assert api.answering.stats().running == 0


class TestAbstention:
    @pytest.fixture
    def told(self, api: ApiWorld) -> dict[str, str]:
        """Headers of a tenant who was told something."""
        headers = api.fresh()
        api.memorize(headers, RAVEN)
        return headers

    def test_below_the_threshold_the_answer_is_a_refusal(
        self, api: ApiWorld, unsure: None, told: dict[str, str]
    ) -> None:
        said = api.ask(told, "Who?").json()
        assert (said["abstained"], said["answer"], said["confidence"]) == (True, REFUSAL, 0.5)

    @pytest.mark.parametrize(("threshold", "abstained"), [(0.0, False), (0.4, False), (0.6, True)])
    def test_the_tenant_has_a_threshold_of_its_own(
        self, api: ApiWorld, unsure: None, threshold: float, abstained: bool
    ) -> None:
        headers = api.fresh(threshold=threshold)
        api.memorize(headers, RAVEN)
        said = api.ask(headers, "Who?").json()
        assert said["abstained"] is abstained
        assert (said["answer"] == REFUSAL) is abstained
        for other, withheld in ((0, False), (0.5, False), (0.51, True), (1, True)):
            mine = api.ask(headers, "Who?", threshold=other).json()
            assert mine["abstained"] is withheld, "a question's own comes first"
            assert (mine["answer"] == REFUSAL) is withheld

    def test_a_stream_says_so_at_its_end(
        self, api: ApiWorld, unsure: None, told: dict[str, str]
    ) -> None:
        *pieces, (name, last) = events(api.ask(told, "Who?", stream=True, max_tokens=20))
        assert pieces
        assert (name, last["abstained"], last["answer"]) == ("answer", True, REFUSAL)

    def test_without_a_confidence_nothing_is_withheld(self, api: ApiWorld) -> None:
        headers = api.fresh(threshold=1.0)
        api.memorize(headers, RAVEN)
        said = api.ask(headers, "Who?").json()
        assert (said["abstained"], said["confidence"]) == (False, None)


class TestCrowd:
    def test_a_tenant_may_ask_so_many_at_once(self, api: ApiWorld) -> None:
        headers = api.fresh(concurrent_questions=1)
        sent = {"question": "Who?", "max_tokens": 2000, "stream": True}
        with api.client.stream("POST", "/v1/query", json=sent, headers=headers) as answer:
            pieces = answer.iter_bytes()
            next(pieces)
            refused = api.ask(headers, "Who?")
            assert refused.status_code == 429
            assert refused.headers["retry-after"] == "1"
            assert api.ask(api.fresh(), "Who?").status_code == 200
        until(lambda: api.ask(headers, "Who?").status_code == 200)

    def test_a_full_queue_is_no_hang(self, api: ApiWorld, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(api.answering, "_queue", 0)
        answer = api.ask(api.fresh(), "Who?")
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) >= 1
        assert answer.json()["type"] == "urn:mplus:problem:overloaded"

    def test_many_tenants_ask_at_once(self, api: ApiWorld) -> None:
        texts = [
            f"Tenant number {number} has its own text, {'abcdef'[number] * 9}."
            for number in range(6)
        ]
        keys = [api.fresh() for _ in texts]
        for headers, text in zip(keys, texts, strict=True):
            api.memorize(headers, text, id="own")
        barrier = threading.Barrier(6)

        def ask(number: int) -> list[str]:
            barrier.wait()
            told = api.ask(keys[number], "Whose?", max_tokens=16, citations=20).json()
            return [each["text"] for each in told["citations"]]

        with ThreadPoolExecutor(6) as pool:
            cited = list(pool.map(ask, range(6)))
        for text, passages in zip(texts, cited, strict=True):
            assert passages
            assert all(passage in text for passage in passages)


@pytest.mark.parametrize("stream", [False, True])
def test_a_file_that_was_merged_away_meanwhile_is_no_damage(
    api: ApiWorld, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    """A reader finds a file of an older plan missing; the plan of now has another."""
    headers = api.fresh()
    api.memorize(headers, RAVEN)
    plain = api.ask(headers, "Who?").json()["answer"]
    ask, lost = LocalReaders.ask, [DamagedFileError("merged.arrow", "it is missing")]

    async def lose(
        readers: LocalReaders, asked: AskRequest
    ) -> AsyncGenerator[TextDelta | AskResult, None]:
        if lost:
            raise lost.pop()
        async for each in ask(readers, asked):
            yield each

    monkeypatch.setattr(LocalReaders, "ask", lose)
    answer = api.ask(headers, "Who?", stream=stream)
    assert answer.status_code == 200, answer.text
    if stream:
        *pieces, (_, last) = events(answer)
        assert "".join(data["text"] for _, data in pieces).strip() == last["answer"] == plain
    else:
        assert answer.json()["answer"] == plain
    assert not lost


def test_a_damaged_file_is_said_and_mended(api: ApiWorld) -> None:
    headers = api.fresh()
    api.memorize(headers, RAVEN)
    log = api.log(headers)
    (shard,) = log.heads.serving().shards
    path = api.world.folder / shard.file
    whole = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    answer = api.ask(headers, "Who?")
    assert answer.status_code == 503
    assert shard.file not in answer.text
    assert answer.json()["type"] == "urn:mplus:problem:damaged-file"
    told = until(lambda: _answered(api, headers))
    assert told["citations"]


def test_a_forgotten_document_is_never_cited_again(api: ApiWorld) -> None:
    headers = api.fresh()
    taken = api.memorize(headers, RAVEN, id="bird")
    api.memorize(headers, "The owl is brown.", id="owl")
    api.ask(headers, "Who?")
    api.client.delete(taken["status_url"], headers=headers)
    for _ in range(20):
        told = api.ask(headers, "Who?", citations=20).json()
        assert {each["document_id"] for each in told["citations"]} == {"owl"}


def _answered(api: ApiWorld, headers: dict[str, str]) -> Any:
    answer = api.ask(headers, "Who?")
    return answer.json() if answer.status_code == 200 else None
