"""Many questions in one request: equal to as many alone, failing alone, counted one by one."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import AsyncGenerator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest

from mplus_ray.actors.messages import AskRequest, AskResult, TextDelta
from mplus_ray.model import MPlus
from mplus_ray.model.errors import ReaderLostError
from mplus_ray.services.api.ask.local_readers import LocalReaders
from mplus_ray.services.api.deps import Limits
from tests.api_world import ApiWorld, endless_model, serving, until

RAVEN, OWL = "The raven is black.", "The owl is brown and sleeps all day."
LINES = {"accept": "application/x-ndjson"}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> MPlus:
    return endless_model(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="module")
def api(model: MPlus, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiWorld]:
    limits = Limits(question_characters=2000, max_tokens=5000, answer_seconds=60.0)
    place = tmp_path_factory.mktemp("batch")
    with serving(model, place, limits=limits, loopback=True) as world:
        yield world


def question(text: str, **fields: Any) -> dict[str, Any]:
    return {"question": text, "max_tokens": 4, **fields}


def post(api: ApiWorld, headers: dict[str, str], *questions: Any) -> httpx2.Response:
    return api.client.post("/v1/query/batch", json={"questions": questions}, headers=headers)


def test_answers_are_those_of_single_questions_in_their_order(api: ApiWorld) -> None:
    headers = api.fresh()
    api.memorize(headers, RAVEN, id="raven", tags=["bird"])
    step = api.memorize(headers, OWL, id="owl", session="night")["min_step"]
    asked = [
        question("What is black?", id="black", citations=3),
        question("Who sleeps?", filter={"session": "night"}),
        question("Who was there first?", as_of=1, id="past"),
        question("Who sleeps all day?", min_step=step, temperature=1.5, seed=7, id="drawn"),
        *(question(f"Question {number}?", id=str(number)) for number in range(6)),
    ]
    told = post(api, headers, *asked)
    assert told.status_code == 200
    body = told.json()
    assert (body["answered"], body["failed"]) == (len(asked), 0)
    for index, (one, sent) in enumerate(zip(body["answers"], asked, strict=True)):
        assert (one["index"], one["id"], one["status"]) == (index, sent.get("id"), 200)
        alone = {name: value for name, value in sent.items() if name != "id"}
        single = api.client.post("/v1/query", json=alone, headers=headers).json()
        assert without_scores(one["response"]) == without_scores(single)


def without_scores(answer: dict[str, Any]) -> dict[str, Any]:
    """Equal whatever the batch to rounding."""
    citations = [{**each, "score": round(each["score"], 3)} for each in answer["citations"]]
    return {**answer, "citations": citations}


def test_one_that_fails_leaves_the_others_alone(api: ApiWorld) -> None:
    headers = api.fresh()
    api.memorize(headers, RAVEN, id="raven")
    told = post(
        api,
        headers,
        question("What is black?", id="good"),
        question("What?", id="field", temprature=1),
        question("What?", threshold=7),
        question("Long " * 500, id="long"),
        question("What?", snapshot="none", id="moment"),
        question("What?", min_step=1000, id="later"),
        "no question",
        question("What?", stream=True, id="stream"),
        question("What is black?"),
    ).json()
    statuses = [one["status"] for one in told["answers"]]
    assert statuses == [200, 422, 422, 422, 422, 422, 422, 422, 200]
    assert (told["answered"], told["failed"]) == (2, 7)
    by_id = {one["id"]: one for one in told["answers"]}
    fields = [each["field"] for each in by_id["field"]["problem"]["errors"]]
    assert fields == ["body.questions.1.temprature"]
    assert "2,500 characters" in by_id["long"]["problem"]["detail"]
    assert by_id["moment"]["problem"]["instance"] == "/v1/query/batch"
    assert "response" not in by_id["long"]
    assert "problem" not in by_id["good"]


@pytest.mark.parametrize(
    "questions", [[], [question("Who?")] * 101, [question("Who?", id="a")] * 2, "none"]
)
def test_a_request_that_is_none_is_refused_whole(api: ApiWorld, questions: Any) -> None:
    answer = api.client.post("/v1/query/batch", json={"questions": questions}, headers=api.fresh())
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert api.client.post("/v1/query/batch", json={"questions": []}).status_code == 401
    assert post(api, api.fresh("ingest"), question("Who?")).status_code == 403


def test_an_id_that_no_response_can_hold_is_shown_otherwise(api: ApiWorld) -> None:
    content = b'{"questions": [{"id": "\\ud800", "question": "Who?"}]}'
    headers = {**api.fresh(), "content-type": "application/json"}
    answer = api.client.post("/v1/query/batch", content=content, headers=headers)
    assert answer.status_code == 200
    (only,) = answer.json()["answers"]
    assert (only["id"], only["status"]) == ("\ufffd", 422)


def test_lines_come_as_they_are_ready(api: ApiWorld) -> None:
    headers = api.fresh()
    api.memorize(headers, RAVEN, id="raven")
    slow = question("Who?", max_tokens=300, id="slow")
    sent = {"questions": [slow, question("What?", id="quick"), question("", id="wrong")]}
    with api.client.stream(
        "POST", "/v1/query/batch", json=sent, headers={**headers, **LINES}
    ) as answer:
        assert answer.headers["content-type"].startswith("application/x-ndjson")
        lines = (json.loads(line) for line in answer.iter_lines())
        first, second = next(lines), next(lines)
        assert {first["id"], second["id"]} == {"quick", "wrong"}
        assert api.answering.stats().running == 1, "the slow one is still under way"
    until(lambda: api.answering.stats().running == 0)  # whoever goes away cancels the rest


def test_each_question_counts(api: ApiWorld) -> None:
    """A batch has three quarters of its tenant's places, and what comes alone the rest."""
    headers = api.fresh(concurrent_questions=4)
    api.memorize(headers, RAVEN, id="raven")
    slow = [question("Who?", max_tokens=300, id=str(number)) for number in range(6)]
    most = 0
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(post, api, headers, *slow)
        until(lambda: api.answering.stats().running == 3)
        assert api.ask(headers, "What is black?").status_code == 200
        while not sending.done():
            most = max(most, api.answering.stats().running)
            time.sleep(0.005)
        assert sending.result().json()["answered"] == 6
    assert most <= 4


def test_a_batch_waits_for_places_that_others_have(api: ApiWorld) -> None:
    headers = api.fresh(concurrent_questions=1)
    api.memorize(headers, RAVEN, id="raven")
    with ThreadPoolExecutor(1) as pool:
        alone = pool.submit(api.ask, headers, "Who?", max_tokens=300)
        until(lambda: api.answering.stats().running == 1)
        told = post(api, headers, question("What?"), question("Which?")).json()
        assert alone.result().status_code == 200
    assert told["answered"] == 2
    nothing = post(api, api.fresh(concurrent_questions=0), question("Who?")).json()
    assert nothing["answers"][0]["status"] == 429
    assert nothing["answers"][0]["retry_after"] == 3600


class DyingReaders(LocalReaders):
    """Readers of which one ends while it answers."""

    def __init__(self, others: Any) -> None:
        super().__init__(others)
        self.lost = threading.Event()

    async def ask(self, asked: AskRequest) -> AsyncGenerator[TextDelta | AskResult, None]:
        async for each in super().ask(asked):
            if "dies" in asked.turns[-1].content:
                self.lost.set()
                raise ReaderLostError("the reader that was answering has ended", 2.0)
            yield each


def test_a_reader_that_dies_fails_only_what_it_was_answering(model: MPlus, tmp_path: Path) -> None:
    with serving(model, tmp_path) as api:
        readers = DyingReaders(api.answering)
        object.__setattr__(api.deps, "readers", readers)
        headers = api.fresh()
        api.memorize(headers, RAVEN, id="raven")
        told = post(
            api, headers, question("Who?"), question("Who dies?", id="lost"), question("What?")
        ).json()
        assert readers.lost.is_set()
        assert [one["status"] for one in told["answers"]] == [200, 503, 200]
        assert told["answers"][1]["retry_after"] == 2
        assert told["answers"][1]["problem"]["type"] == "urn:mplus:problem:reader-lost"


def test_many_batches_at_once_are_all_answered(api: ApiWorld) -> None:
    headers = [api.fresh() for _ in range(4)]
    for each in headers:
        api.memorize(each, RAVEN)
    with ThreadPoolExecutor(8) as pool:
        sent = [
            pool.submit(post, api, headers[n % 4], *(question(f"{n} {m}?") for m in range(8)))
            for n in range(8)
        ]
        told = [each.result().json() for each in sent]
    assert [each["answered"] for each in told] == [8] * 8
