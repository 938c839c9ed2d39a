"""A memory never comes out of another's answers: batched, evicted, restarted, in any order.

The model is random, so its words mean nothing; but a row of another tenant that got into a
question's memory would change them. Every answer is the one that its tenant gets alone.
"""

from __future__ import annotations

import copy
import json
import random
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

from mplus_ray.actors.messages import AskRequest, AskResult, SearchRequest, SearchResult, TextDelta
from mplus_ray.actors.reading.engine import Answering
from mplus_ray.actors.reading.footprint import Footprint
from mplus_ray.actors.reading.residency import Bytes
from mplus_ray.model import MPlus
from mplus_ray.model.object_store.object_store import ObjectStore
from mplus_ray.pipeline.reading.read_plans import read_plan
from mplus_ray.services.api.ask.local_readers import LocalReaders
from tests.api_world import ApiWorld, serving
from tests.worlds import load_model

NAMES = ("anna", "bela", "cora")
DOCUMENTS = 5
PLENTY = Bytes(1 << 30, 1 << 30)


def canary(name: str, number: int = 0) -> str:
    """A word that only one tenant has."""
    return f"Quux{name}{number}"


@dataclass
class Readers:
    """Readers that can be replaced, as when their process is."""

    model: MPlus
    answering: Answering | None = None

    def start(self, files: ObjectStore, budget: Bytes, slots: int = 8) -> None:
        self.stop()
        self.answering = Answering(
            self.model, files, device_bytes=budget.device, host_bytes=budget.host, slots=slots
        )

    def stop(self) -> None:
        if self.answering is not None:
            self.answering.stop()

    def ask(self, asked: AskRequest) -> AsyncIterator[TextDelta | AskResult]:
        assert self.answering is not None
        return LocalReaders(self.answering).ask(asked)

    async def search(self, asked: SearchRequest) -> SearchResult:
        assert self.answering is not None
        return await LocalReaders(self.answering).search(asked)

    async def stats(self) -> Sequence[Any]:
        assert self.answering is not None
        return [self.answering.stats()]

    async def close(self, tenant: str) -> None:
        assert self.answering is not None
        self.answering.close(tenant)


@dataclass
class Scene:
    """Three tenants who were told alike things, and what each is answered alone."""

    api: ApiWorld
    readers: Readers
    keys: dict[str, dict[str, str]]
    alone: dict[tuple[str, str], dict[str, Any]]

    @property
    def tight(self) -> Bytes:
        """Room for the largest memory and its question, and hardly more."""
        footprint = Footprint(self.api.world.model)
        plans = [
            read_plan(log, log.heads.serving()) for log in map(self.api.log, self.keys.values())
        ]
        needs = [footprint.rows(p) + footprint.view(p) + footprint.question(120, 20) for p in plans]
        return Bytes(max(need.device for need in needs), max(need.host for need in needs))

    def ask(self, name: str, question: str) -> Any:
        stream = question.startswith("Stream")
        return self.api.ask(
            self.keys[name],
            question,
            max_tokens=8 + len(question) % 9,
            citations=20,
            stream=stream,
            temperature=0.9 if question.endswith("!") else 0,
            seed=len(question),
        )


def questions() -> list[str]:
    """The same of everybody, so that nothing but the memory tells tenants apart."""
    asked = ["Who sings?", "What is the word of number 3?", "Stream the words.", "Again!"]
    asked += [f"What does {canary(name)} say?" for name in NAMES]
    asked += [f"Stream {canary(name, 1)}: " + "what then? " * 6 + "Now!" for name in NAMES]
    return asked


def told(answer: Any) -> dict[str, Any]:
    """The answer, also of a stream, whose pieces are its text."""
    if not answer.headers["content-type"].startswith("text/event-stream"):
        return dict(answer.json())
    events = [block.split("\n") for block in answer.text.strip().split("\n\n")]
    data = [(head.removeprefix("event: "), json.loads(line[6:])) for head, line in events]
    *pieces, (last, found) = data
    assert last == "answer", found
    assert "".join(piece["text"] for _, piece in pieces) == found["answer"]
    return dict(found)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("reading")
    model = load_model(folder / "checkpoint")
    readers = Readers(model)
    with serving(model, folder, readers=readers) as api:
        keys: dict[str, dict[str, str]] = {}
        for name in NAMES:
            keys[name] = api.tenant(name)[1]
            sent = [
                {"id": f"{number}", "text": f"The word of {number} is {canary(name, number)}."}
                for number in range(DOCUMENTS)
            ]
            answer = api.client.post(
                "/v1/documents?wait=true", json={"documents": sent}, headers=keys[name]
            )
            assert answer.status_code == 200, answer.text
        scene = Scene(api, readers, keys, {})
        for name in NAMES:  # a reader that has never seen anybody else
            readers.start(api.world.files, PLENTY)
            scene.alone |= {(name, each): told(scene.ask(name, each)) for each in questions()}
        yield scene
        readers.stop()


def check(scene: Scene, name: str, question: str, answer: Any) -> None:
    """It is the answer that this tenant gets alone, and it has no word of the others."""
    assert answer.status_code == 200, answer.text
    mine, alone = told(answer), copy.deepcopy(scene.alone[name, question])
    scores, scores_alone = (
        [each.pop("score") for each in one["citations"]] for one in (mine, alone)
    )
    assert scores == pytest.approx(scores_alone, abs=1e-4)  # batches round otherwise
    assert mine == alone
    for other in NAMES:
        if other != name:
            assert f"Quux{other}".encode() not in answer.content


def test_everybody_cites_only_what_is_theirs(scene: Scene) -> None:
    """And does cite it: so there is something that could have got out."""
    for (name, _), answer in scene.alone.items():
        cited = " ".join(each["text"] for each in answer["citations"])
        assert {other for other in NAMES if f"Quux{other}" in cited} == {name}
    different = [
        question
        for question in questions()
        if len({scene.alone[name, question]["answer"] for name in NAMES}) > 1
    ]
    assert len(different) >= len(questions()) // 2, "no memory matters to the model"


@pytest.mark.parametrize("seed", range(2))
def test_in_any_order_with_evictions_and_restarts(scene: Scene, seed: int) -> None:
    rng = random.Random(seed)
    work = [(name, question) for name in NAMES for question in questions()] * 2
    rng.shuffle(work)
    evictions = 0
    with ThreadPoolExecutor(8) as pool:
        for batch in (work[: len(work) // 2], work[len(work) // 2 :]):
            scene.readers.start(scene.api.world.files, scene.tight, slots=rng.choice([2, 8]))
            answers = list(pool.map(lambda each: scene.ask(*each), batch))
            for (name, question), answer in zip(batch, answers, strict=True):
                check(scene, name, question, answer)
            assert scene.readers.answering is not None
            stats = scene.readers.answering.stats()
            assert stats.device_used <= stats.device_bytes
            assert stats.host_used <= stats.host_bytes
            evictions += stats.evictions
    assert evictions > 0, "there was room for everybody"


def test_readers_that_go_in_the_middle(scene: Scene) -> None:
    """What was under way fails and says so; nobody gets the end of another's answer."""
    rng = random.Random(7)
    work = [(name, question) for name in NAMES for question in questions()]
    rng.shuffle(work)
    scene.readers.start(scene.api.world.files, PLENTY, slots=2)
    with ThreadPoolExecutor(8) as pool:
        asking = [pool.submit(scene.ask, *each) for each in work]
        asking[4].result()
        scene.readers.start(scene.api.world.files, scene.tight)
        answers = [each.result() for each in asking]
    good = 0
    for (name, question), answer in zip(work, answers, strict=True):
        if answer.status_code == 200 and "event: error" not in answer.text:
            check(scene, name, question, answer)
            good += 1
        else:
            assert answer.status_code in (200, 503)
            assert not any(f"Quux{other}".encode() in answer.content for other in NAMES)
    assert good > len(work) // 4
    check(scene, *work[0], scene.ask(*work[0]))


def test_while_another_is_written_to_and_goes(scene: Scene) -> None:
    """Ingest, forgetting and the end of a tenant beside the questions of the others."""
    scene.readers.start(scene.api.world.files, scene.tight)
    api = scene.api
    _, passing = api.tenant("dora")
    rng = random.Random(3)
    work = [(rng.choice(NAMES), rng.choice(questions())) for _ in range(24)]
    with ThreadPoolExecutor(6) as pool:
        asking = [pool.submit(scene.ask, *each) for each in work]
        taken = api.memorize(passing, f"The word is {canary('dora')}.", id="0")
        assert canary("dora") in api.ask(passing, "What is the word?").text
        api.client.delete(taken["status_url"], headers=passing)
        operator = {"authorization": f"Bearer {api.operator}"}
        assert api.client.delete("/v1/tenants/dora", headers=operator).status_code == 204
        for (name, question), each in zip(work, asking, strict=True):
            check(scene, name, question, each.result())
            assert b"dora" not in each.result().content
    assert api.ask(passing, "What is the word?").status_code == 401
