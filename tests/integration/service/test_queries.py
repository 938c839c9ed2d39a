"""A service of `mplus serve`: documents, answers, tenants, load, and readers that break."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import httpx
import openai
import pytest

from tests.integration.server import (
    Server,
    ask,
    events,
    figures,
    kill,
    memorize,
    new_tenant,
    wait_for,
)

pytestmark = pytest.mark.timeout(600)  # on a machine that has other things to do


@pytest.fixture(scope="module", autouse=True)
def _said_well(server: Server) -> Iterator[None]:
    """What fails meanwhile is said in words, not in stack traces."""
    before = len(server.said())
    yield
    assert "Traceback" not in server.said()[before:]


def test_the_first_start_prints_keys_that_work(server: Server, operator: httpx.Client) -> None:
    assert server.keys.keys() == {"MPLUS_OPERATOR_KEY", "MPLUS_API_KEY"}
    assert not any(key in server.said() for key in server.keys.values())
    assert operator.get("/readyz").status_code == 200
    with server.client(server.keys["MPLUS_API_KEY"]) as client:
        memorize(client, "The raven is black.", id="birds")
        answer = ask(client, "Which colour has the raven?")
        assert [c["document_id"] for c in answer["citations"]] == ["birds"]
        assert answer["citations"][0]["text"] == "The raven is black."
        assert answer["step"] == 1
    assert httpx.get(f"{server.url}/v1/documents").status_code == 401


def test_a_search_finds_what_an_answer_cites(tenant: httpx.Client) -> None:
    memorize(tenant, "The raven is black.", id="raven")
    memorize(tenant, "The owl is brown.", id="owl")
    found = tenant.post("/v1/search", json={"query": "Which colour has the owl?", "limit": 2})
    assert found.status_code == 200, found.text
    cited = ask(tenant, "Which colour has the owl?")["citations"][:2]
    results = found.json()["results"]
    assert [each["document_id"] for each in results] == [c["document_id"] for c in cited]
    assert [each["step"] for each in results] == [citation["step"] for citation in cited]
    assert results[0]["text"] in ("The raven is black.", "The owl is brown.")
    refused = tenant.post("/v1/search", json={"query": "Who?", "limit": 0})
    assert refused.status_code == 422


def test_an_answer_is_streamed_token_by_token(tenant: httpx.Client) -> None:
    memorize(tenant, "The owl is brown.")
    wanted = {"question": "Which colour has the owl?", "max_tokens": 200, "stream": True}
    with tenant.stream("POST", "/v1/query", json=wanted) as answer:
        times = [(time.monotonic(), name, data) for name, data in events(answer)]
    names = [name for _, name, _ in times]
    assert names[-1] == "answer"
    assert set(names[:-1]) == {"token"}
    assert len(names) > 5
    whole = times[-1][2]
    assert "".join(data["text"] for _, name, data in times if name == "token") == whole["answer"]


def test_the_official_openai_client_works(tenant: httpx.Client) -> None:
    memorize(tenant, "Maren Tolva was born in Brelin.")
    key = tenant.headers["authorization"].removeprefix("Bearer ")
    with openai.OpenAI(base_url=f"{tenant.base_url}/v1", api_key=key) as client:
        (model, *_) = client.models.list().data
        asked: Any = {
            "model": model.id,
            "messages": [{"role": "user", "content": "Where was Maren Tolva born?"}],
            "max_tokens": 16,
            "temperature": 0,
        }
        whole = client.chat.completions.create(**asked)
        said = whole.choices[0].message.content
        chunks = list(client.chat.completions.create(**asked, stream=True))
    pieces = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert "".join(pieces) == said
    assert whole.usage is not None
    assert whole.usage.completion_tokens > 0


def test_a_client_that_goes_away_frees_its_slot(
    tenant: httpx.Client, operator: httpx.Client
) -> None:
    memorize(tenant, "The raven is black.")
    before = figures(operator)["mplus_reader_cancelled_total"]
    wanted = {"question": "Which colour?", "max_tokens": 2000, "stream": True}
    with tenant.stream("POST", "/v1/query", json=wanted) as answer:
        assert next(events(answer))[0] == "token"

    def freed() -> bool:
        now = figures(operator)
        more = now["mplus_reader_cancelled_total"] > before
        return more and now["mplus_reader_running"] == 0

    wait_for(freed, 20)


def test_two_tenants_at_once_see_their_own(server: Server, operator: httpx.Client) -> None:
    names = ("anna", "bela")
    clients = {name: new_tenant(server, operator, name) for name in names}
    for name, client in clients.items():
        for number in range(3):
            memorize(client, f"{name} has thing {number}.", id=f"{name}-{number}")

    def one(number: int) -> None:
        name = names[number % 2]
        answer = ask(clients[name], f"What has {names[number // 2 % 2]}?", citations=20)
        cited = [citation["document_id"] for citation in answer["citations"]]
        assert len(cited) == 3
        assert all(document.startswith(name) for document in cited)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(one, range(60)))
    for client in clients.values():
        client.close()


def test_a_question_sees_what_was_acknowledged_before_it(tenant: httpx.Client) -> None:
    """200 of 200, while documents come in faster than they are memorized."""
    asking, seen = ThreadPoolExecutor(8), []
    with asking:
        for number in range(200):
            sent = {"text": f"Number {number} is odd or even.", "id": f"n{number}"}
            answer = tenant.post("/v1/documents", json=sent)
            assert answer.status_code == 202, answer.text
            step = answer.json()["min_step"]
            asked = asking.submit(ask, tenant, f"Is {number} odd?", min_step=step, max_tokens=1)
            seen.append((step, asked))
    assert len(seen) == 200
    assert all(asked.result()["step"] >= step for step, asked in seen)


def test_a_damaged_file_heals(server: Server, tenant: httpx.Client) -> None:
    before = set((server.data / "rows").iterdir())
    memorize(tenant, "The raven is black. " * 20, id="d")
    answers = [ask(tenant, "Which colour?")["answer"]]
    (folder,) = set((server.data / "rows").iterdir()) - before  # other tenants' are compacted
    (newest,) = folder.rglob("*rows*.arrow")
    whole = newest.read_bytes()
    newest.chmod(0o644)
    newest.unlink()
    newest.write_bytes(whole[:-20] + bytes(20))
    memorize(tenant, "The owl is brown. " * 20, id="e")  # so that it is opened anew
    for reader in server.readers():  # which had it mapped
        kill(reader)
    statuses = []

    def healed() -> bool:
        answer = tenant.post("/v1/query", json={"question": "Which colour?", "max_tokens": 4})
        statuses.append(answer.status_code)
        if answer.status_code == 503:
            assert "retry-after" in answer.headers
            time.sleep(0.3)
            return False
        assert answer.status_code == 200, answer.text
        answers.append(answer.json()["answer"])
        return True

    wait_for(healed, 120)
    assert statuses[0] == 503
    wait_for(lambda: not newest.exists())  # another file has its place


def test_a_reader_that_is_killed_fails_only_what_it_was_answering(
    server: Server, operator: httpx.Client
) -> None:
    client = new_tenant(server, operator, "killed")
    memorize(client, "The raven is black.")
    began, lasts = threading.Barrier(5, timeout=60), []

    def stream() -> None:
        wanted = {"question": "Which colour?", "max_tokens": 2000, "stream": True}
        with client.stream("POST", "/v1/query", json=wanted) as answer:
            said = events(answer)
            assert next(said)[0] == "token"
            began.wait()
            lasts.append(list(said)[-1])

    threads = [threading.Thread(target=stream) for _ in range(4)]
    for thread in threads:
        thread.start()
    began.wait()
    for reader in server.readers():
        kill(reader)
    killed = time.monotonic()
    answer = client.post("/v1/query", json={"question": "Which colour?", "max_tokens": 2})
    back = time.monotonic() - killed
    assert answer.status_code in (200, 503), answer.text
    for thread in threads:
        thread.join(30)
    assert [name for name, _ in lasts] == ["error"] * 4
    assert {problem["status"] for _, problem in lasts} == {503}
    wait_for(lambda: client.post("/v1/query", json={"question": "?"}).status_code == 200)
    print(f"a question was answered {back:.1f} s after its reader was killed")
    client.close()


def test_a_batch_whose_reader_dies_has_an_outcome_for_each_question(
    server: Server, operator: httpx.Client
) -> None:
    client = new_tenant(server, operator, "batch-fault")
    memorize(client, "The raven is black.")
    asked = [{"question": "Which colour?", "max_tokens": 2000, "id": str(n)} for n in range(6)]
    with ThreadPoolExecutor(1) as thread:
        sent = thread.submit(client.post, "/v1/query/batch", json={"questions": asked})
        wait_for(lambda: figures(operator)["mplus_reader_running"] > 0)
        for reader in server.readers():
            kill(reader)
        answer = sent.result(120)
    assert answer.status_code == 200
    told = answer.json()["answers"]
    assert [one["id"] for one in told] == [one["id"] for one in asked]
    lost = [one for one in told if one["status"] == 503]
    assert lost, "the reader was answering"
    assert all(one["retry_after"] and one["problem"]["detail"] for one in lost)
    assert {one["status"] for one in told} <= {200, 503}
    wait_for(lambda: client.post("/v1/query", json={"question": "?"}).status_code == 200)
    client.close()


def test_no_question_of_a_batch_is_lost(tenant: httpx.Client) -> None:
    """Serve files calls under the id of their HTTP request, and those of a batch share one."""
    memorize(tenant, "The raven is black.")
    questions = [{"question": f"Which colour is number {n}?", "max_tokens": 4} for n in range(6)]
    for _ in range(4):
        told = tenant.post("/v1/query/batch", json={"questions": questions}, timeout=25).json()
        assert told["answered"] == len(questions), told


def test_load_brings_another_reader(server: Server, operator: httpx.Client) -> None:
    clients = [new_tenant(server, operator, f"load-{n}") for n in range(4)]
    for client in clients:
        memorize(client, "The raven is black.")
    over = threading.Event()

    def keep_asking(client: httpx.Client) -> None:
        while not over.is_set():
            with suppress(httpx.HTTPError):
                ask(client, "Which colour?", max_tokens=500)

    with ThreadPoolExecutor(16) as threads:
        for number in range(16):
            threads.submit(keep_asking, clients[number % 4])
        try:
            wait_for(lambda: figures(operator)["mplus_readers"] == 2, 300)
        finally:
            over.set()
    for client in clients:
        assert ask(client, "Which colour?")["citations"]
        client.close()
