"""Searches over HTTP and MCP: passages, moments, doors, limits, and what an answer has of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from mplus_ray.model import MPlus
from mplus_ray.model.retrieval.relevance import Relevance
from mplus_ray.services.api.deps import Limits
from tests.api_world import ApiWorld, endless_model, serving, until

RAVEN = "The raven is black and sits in the tall tree."


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> MPlus:
    return endless_model(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="module")
def api(model: MPlus, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiWorld]:
    limits = Limits(question_characters=2000, question_tokens=1500, concurrent_questions=4)
    place = tmp_path_factory.mktemp("search")
    with serving(model, place, limits=limits, loopback=True) as world:
        yield world


@pytest.fixture
def fitted(model: MPlus, monkeypatch: pytest.MonkeyPatch) -> Relevance:
    relevance = Relevance((4.0, 0.5, 1.0), -0.5, model.fingerprint)
    monkeypatch.setattr(model, "relevance", relevance)
    return relevance


def search(api: ApiWorld, headers: dict[str, str], query: str, **fields: Any) -> httpx2.Response:
    return api.client.post("/v1/search", json={"query": query, **fields}, headers=headers)


def test_passages_come_as_an_answer_would_cite_them(api: ApiWorld) -> None:
    headers = api.fresh()
    api.memorize(headers, RAVEN, id="bird", title="Raven")
    found = search(api, headers, "Which raven sits?", limit=20)
    assert found.status_code == 200, found.text
    told = found.json()
    cited = api.ask(headers, "Which raven sits?", citations=20).json()
    assert (told["step"], told["waiting"], told["votes"]) == (cited["step"], 0, "layers")
    bare = [
        {name: value for name, value in each.items() if name not in ("score", "why")}
        for each in told["results"]
    ]
    for citation in cited["citations"]:
        del citation["score"], citation["relevance"]
    assert bare == cited["citations"]
    votes = [each["why"]["vote"] for each in told["results"]]
    assert votes == sorted(votes, reverse=True)
    for each in told["results"]:
        assert each["text"] == RAVEN[each["start"] : each["end"]]
        assert each["score"] is None
        here = (each["text"] + each["title"]).casefold()
        assert set(each["why"]["words"]) == {w for w in ("raven", "sits") if w in here}


def test_nothing_is_decoded(api: ApiWorld) -> None:
    headers = api.fresh()
    api.memorize(headers, RAVEN)
    before = api.answering.stats()
    assert search(api, headers, "Who?").json()["results"]
    after = api.answering.stats()
    assert (after.tokens, after.answered) == (before.tokens, before.answered + 1)
    assert (after.running, after.queued) == (0, 0)


def test_scores_are_between_0_and_1_and_cut(api: ApiWorld, fitted: Relevance) -> None:
    headers = api.fresh()
    api.memorize(headers, " ".join(["Many words in many chunks of this text."] * 3))
    results = search(api, headers, "Which words?", limit=100).json()["results"]
    scores = [each["score"] for each in results]
    assert scores == sorted(scores, reverse=True)
    assert all(0 < score < 1 for score in scores)
    least = scores[1]
    cut = search(api, headers, "Which words?", limit=100, min_score=least).json()["results"]
    assert [each["score"] for each in cut] == [score for score in scores if score >= least]
    assert search(api, headers, "Which words?", min_score=1).json()["results"] == []


def test_min_score_without_scores_is_refused(api: ApiWorld) -> None:
    headers = api.fresh()
    api.memorize(headers, RAVEN)
    refused = search(api, headers, "Who?", min_score=0.5)
    assert refused.status_code == 422
    assert "mplus eval relevance" in refused.json()["detail"]


def test_an_empty_memory_has_nothing(api: ApiWorld) -> None:
    told = search(api, api.fresh(), "Anybody?").json()
    assert (told["results"], told["step"], told["waiting"]) == ([], 0, 0)


def test_an_earlier_moment_and_a_later_one(api: ApiWorld) -> None:
    headers = api.fresh()
    step = api.memorize(headers, RAVEN, id="bird")["min_step"]
    api.client.post("/v1/memory/snapshot", json={"name": "then"}, headers=headers)
    sent = {"text": "The owl is brown and sleeps all day.", "id": "owl"}
    later = api.client.post("/v1/documents", json=sent, headers=headers).json()["min_step"]
    assert search(api, headers, "Who?", min_step=later).json()["step"] >= later
    for moment in ({"as_of": step}, {"as_of": str(step)}, {"snapshot": "then"}):
        told = search(api, headers, "Who?", limit=100, **moment).json()
        assert told["step"] == step
        assert {each["document_id"] for each in told["results"]} == {"bird"}
        assert max(each["step"] for each in told["results"]) == step


def test_what_is_forgotten_is_not_found(api: ApiWorld) -> None:
    headers = api.fresh()
    api.memorize(headers, RAVEN, id="bird")
    api.memorize(headers, "The owl is brown.", id="owl")
    api.client.delete("/v1/documents/bird", headers=headers)
    found = search(api, headers, "Who is black?", limit=100).json()["results"]
    assert {each["document_id"] for each in found} == {"owl"}


def test_two_tenants_do_not_meet(api: ApiWorld) -> None:
    ours, theirs = api.fresh(), api.fresh()
    api.memorize(ours, RAVEN, id="bird")
    api.memorize(theirs, "The owl is brown.", id="owl")
    found = search(api, theirs, "Who is black?", limit=100).json()["results"]
    assert {each["document_id"] for each in found} == {"owl"}


@pytest.mark.parametrize(
    "field",
    [
        {"query": ""},
        {"query": "  "},
        {"query": "x" * 2001},
        {"limit": 0},
        {"limit": 101},
        {"min_score": -0.1},
        {"min_score": 1.1},
        {"min_score": "NaN"},
        {"min_step": -1},
        {"as_of": "yesterday"},
        {"as_of": 99},
        {"as_of": 1, "snapshot": "a"},
        {"snapshot": "unknown"},
        {"unknown": 1},
    ],
    ids=str,
)
def test_a_search_that_cannot_be_made(api: ApiWorld, field: dict[str, Any]) -> None:
    answer = search(api, api.fresh(), **{"query": "Who?", **field})
    assert answer.status_code == 422
    assert answer.json()["detail"]


def test_searches_count_as_questions_under_way(model: MPlus, tmp_path: Path) -> None:
    with serving(model, tmp_path, limits=Limits(concurrent_questions=0)) as api:
        refused = search(api, api.fresh(), "Who?")
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) >= 1


def test_a_search_does_not_wait_for_answers_under_way(api: ApiWorld) -> None:
    """It needs no slot: it is found while a long answer is decoded."""
    headers = api.fresh()
    api.memorize(headers, RAVEN)
    asking = threading.Thread(target=api.ask, args=(headers, "Who?"), kwargs={"max_tokens": 1000})
    asking.start()
    until(lambda: api.answering.stats().running)
    began = time.monotonic()
    assert search(api, headers, "Who?").json()["results"]
    took = time.monotonic() - began
    assert api.answering.stats().running, "the answer has ended before"
    assert took < 10
    asking.join()


def test_a_damaged_file_is_mended(model: MPlus, tmp_path: Path) -> None:
    with serving(model, tmp_path, loopback=True) as api:
        headers = api.fresh()
        api.memorize(headers, RAVEN)
        for path in (tmp_path / "rows").rglob("*"):
            if path.is_file():
                path.write_bytes(b"nothing of the kind")
        api.answering.close(api.log(headers).tenant.id)
        refused = search(api, headers, "Who?")
        assert refused.status_code == 503
        until(lambda: search(api, headers, "Who?").status_code == 200)
        assert search(api, headers, "Who?").json()["results"]
