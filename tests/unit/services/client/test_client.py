"""Both kinds of clients against the application behind a real server."""

from __future__ import annotations

import asyncio
import inspect
import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, assert_type

import httpx
import pytest

from mplus_client import (
    Answer,
    ApiError,
    AsyncClient,
    AuthenticationError,
    Client,
    ClientError,
    ConflictError,
    Document,
    DocumentFilter,
    IncompleteError,
    InvalidRequestError,
    NewDocument,
    NotFoundError,
    Patience,
    PermissionDeniedError,
    SearchResults,
    Sent,
    UnreachableError,
    WaitTimeoutError,
)
from mplus_client.streams import Stream
from tests.api_world import ApiWorld, serving
from tests.worlds import load_model

# Each may stand in a path, and most mean something there.
AWKWARD = ["a/b/c", "q?x=1#y", "50%", "a%2Fb", "é ü", "…", "...", "a;b=c", "x+y&z", "keys", "a:b@c"]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiWorld]:
    folder = tmp_path_factory.mktemp("client")
    with serving(load_model(folder / "checkpoint"), folder, loopback=True) as world:
        yield world


def key_of(headers: dict[str, str]) -> str:
    return headers["authorization"].removeprefix("Bearer ")


@pytest.fixture
def key(api: ApiWorld) -> str:
    return key_of(api.fresh())


@pytest.fixture
def client(api: ApiWorld, key: str) -> Iterator[Client]:
    with Client(api.url, key) as client:
        yield client


def test_an_answer_from_what_was_memorized(client: Client) -> None:
    taken = client.memorize("Maren Tolva lives in Dorvas.", id="maren", tags=["people"], wait=30)
    assert [each.state for each in taken.documents] == ["memorized"]
    answer = client.query("Where does Maren Tolva live?", max_tokens=4, min_step=taken.min_step)
    assert_type(answer, Answer)
    assert {each.document_id for each in answer.citations} == {"maren"}
    found = client.search("Maren", filter={"tags": "people"}, limit=3)
    assert_type(found, SearchResults)
    assert {hit.document_id for hit in found.results} == {"maren"}
    nothing = client.search("Maren", filter=DocumentFilter(tags=["ships"]))
    assert nothing.results == []


def test_the_same_awaited(api: ApiWorld, key: str) -> None:
    async def run() -> None:
        async with AsyncClient(api.url, key) as client:
            taken = await client.memorize("Ilse keeps bees.", id="ilse", wait=30)
            answer = await client.query("What does Ilse keep?", min_step=taken.min_step)
            assert_type(answer, Answer)
            assert answer.citations[0].text == "Ilse keeps bees."
            assert [each.id async for each in client.documents()] == ["ilse"]

    asyncio.run(run())


def test_every_response_has_its_request_id(client: Client) -> None:
    taken = client.memorize("The owl is brown.")
    found = client.document(taken.id)
    assert taken.request_id
    assert found.request_id not in (None, taken.request_id)
    with pytest.raises(NotFoundError) as caught:
        client.document("nobody")
    assert caught.value.problem is not None
    assert caught.value.request_id == caught.value.problem.request_id


def test_awkward_ids_arrive_as_they_are(client: Client) -> None:
    for number, name in enumerate(AWKWARD):
        client.memorize(f"Keeper {number} waits.", id=name)
    assert [document.id for document in client.documents()] == AWKWARD
    for number, name in enumerate(AWKWARD):
        found = client.document(name)
        assert (found.id, [one.text for one in found.passages or []]) == (
            name,
            [f"Keeper {number} waits."],
        )
        assert client.delete_document(name).document_id == name


@pytest.mark.parametrize("name", [".", "..", "a/../b", "", "//"])
def test_an_id_that_leads_elsewhere_finds_nothing(client: Client, name: str) -> None:
    with pytest.raises(ApiError) as caught:
        client.document(name)
    assert caught.value.status in (404, 422)


def test_pages_follow_one_another(client: Client) -> None:
    client.memorize_all([{"text": f"Keeper {n}.", "id": f"k{n}"} for n in range(7)])
    pages = client.documents(page=3)
    assert_type(next(pages), Document)
    assert [each.id for each in pages] == [f"k{n}" for n in range(1, 7)]
    assert [each.id for each in client.documents(q="K3")] == ["k3"]
    chosen = DocumentFilter(ids=["k1", "k5"])
    assert [each.id for each in client.documents(filter=chosen)] == ["k1", "k5"]
    assert [each.documents for each in client.jobs()] == [7]


def test_forgetting_has_receipts(client: Client) -> None:
    client.memorize_all(
        [
            NewDocument(text=f"Keeper {n}.", id=f"k{n}", session="s" if n else None)
            for n in range(4)
        ],
        wait=30,
    )
    receipt = client.delete_documents(DocumentFilter(session="s"))
    assert receipt.documents == 3
    (job,) = client.wait(receipt, timeout=30)
    assert job.receipt is not None
    assert job.receipt.rebuilt is not None
    assert [each.id for each in client.documents()] == ["k0"]
    assert client.wait(client.delete_documents({"session": "nobody"})) == []
    with pytest.raises(InvalidRequestError, match="all of them"):
        client.delete_documents({})


def test_waiting_ends_and_the_work_goes_on(api: ApiWorld, tmp_path: Path) -> None:
    model = api.world.model
    with (
        serving(model, tmp_path, writer=False, loopback=True) as idle,
        Client(idle.url, key_of(idle.fresh())) as client,
    ):
        with pytest.raises(WaitTimeoutError, match="goes on") as caught:
            client.memorize("Keeper waits.", wait=0.2)
        assert caught.value.job.state == "waiting"
        with pytest.raises(WaitTimeoutError):
            client.wait(caught.value.job.id, timeout=0.1)


def test_a_stream_is_its_result(client: Client) -> None:
    client.memorize("Maren Tolva lives in Dorvas.", wait=30)
    asked: dict[str, Any] = {"max_tokens": 4}
    whole = client.query("Where does she live?", **asked)
    with client.stream_query("Where does she live?", **asked) as stream:
        assert_type(stream, Stream[Answer])
        with pytest.raises(IncompleteError):
            _ = stream.result
        texts = list(stream)
    assert stream.result.model_dump() == whole.model_dump()
    assert "".join(texts) == whole.answer
    assert stream.request_id == stream.result.request_id


def test_questions_are_asked_together(client: Client) -> None:
    taken = client.memorize("Maren Tolva lives in Dorvas.", wait=True)
    wrong = {"question": "Who?", "threshold": 7, "id": "wrong"}
    late = {"question": "Where?", "min_step": taken.min_step, "max_tokens": 4}
    told = client.query_batch(["Where does she live?", wrong, late])
    assert (told.answered, told.failed) == (2, 1)
    assert [one.status for one in told.answers] == [200, 422, 200]
    assert told.answers[1].id == "wrong"
    assert told.answers[1].problem is not None
    assert told.answers[2].response is not None
    assert told.answers[2].response.citations


def test_a_stream_that_is_left_is_cancelled(api: ApiWorld, client: Client) -> None:
    client.memorize("Maren Tolva lives in Dorvas.", wait=30)
    with client.stream_query("Where does she live?", max_tokens=50) as stream:
        next(iter(stream))
    with pytest.raises(IncompleteError):
        _ = stream.result


def test_an_asynchronous_stream(api: ApiWorld, key: str) -> None:
    async def run() -> None:
        async with AsyncClient(api.url, key) as client:
            await client.memorize("Maren Tolva lives in Dorvas.", id="maren", wait=30)
            async with client.stream_query("Where does she live?", max_tokens=4) as stream:
                texts = [text async for text in stream]
            assert "".join(texts) == stream.result.answer
            reply = client.stream_chat("Where does Maren Tolva live?", max_tokens=4)
            texts = [text async for text in reply]
            assert reply.result.mplus is not None
            assert {each.document_id for each in reply.result.mplus.citations} == {"maren"}

    asyncio.run(run())


def test_a_stream_that_is_refused_says_so(client: Client) -> None:
    with pytest.raises(InvalidRequestError, match="422"), client.stream_query(""):
        pass


def test_a_conversation(client: Client) -> None:
    client.memorize("Maren Tolva lives in Dorvas.", id="maren", wait=30)
    reply = client.chat("Where does Maren Tolva live?", max_tokens=4)
    assert reply.model == "mplus-test"
    assert {each.document_id for each in reply.mplus.citations} == {"maren"}
    turns = [{"role": "user", "content": "Where does Maren Tolva live?"}]
    stored = client.chat(turns, model="mplus-test", store=True, max_tokens=4)
    assert stored.mplus.stored is not None
    with pytest.raises(NotFoundError, match="there is no model"):  # OpenAI's shape of errors
        client.chat(turns, model="gpt-5")
    with client.stream_chat(turns, max_tokens=4) as stream:
        text = "".join(stream)
    assert text == reply.choices[0].message.content


def test_moments_of_a_memory(client: Client, tmp_path: Path) -> None:
    first = client.memorize("Maren Tolva lives in Dorvas.", id="maren", wait=30).min_step
    assert client.take_snapshot("a / b").step == first
    last = client.memorize("Maren Tolva has moved to Brelin.", id="moved", wait=30).min_step
    before = client.query("Where does she live?", snapshot="a / b", max_tokens=4)
    assert before.step == first
    assert client.query("Where does she live?", as_of=first, max_tokens=4).step == first
    assert [one.name for one in client.snapshots()] == ["a / b"]
    client.delete_snapshot("a / b")
    assert client.snapshots() == []
    assert client.memory().step == last
    assert client.memory_map().step == last
    assert client.memory_usage().documents == len(list(client.documents()))
    assert client.memory_usage({"session": "nobody"}).documents == 0
    made = client.fork("draft", step=first)
    with Client(str(client.http.base_url), made.secret) as draft:
        assert [each.id for each in draft.documents()] == ["maren"]
    archive = client.export(tmp_path / "memory.tar")
    assert archive.stat().st_size > 0
    assert [each.name for each in tmp_path.iterdir()] == ["memory.tar"]


def test_an_archive_of_an_asynchronous_client(api: ApiWorld, key: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with AsyncClient(api.url, key) as client:
            await client.memorize("The owl is brown.")
            assert (await client.export(tmp_path / "memory.tar")).stat().st_size > 0
        async with AsyncClient(api.url, "mplus_no") as client:
            with pytest.raises(AuthenticationError):
                await client.export(tmp_path / "no.tar")

    asyncio.run(run())
    assert [each.name for each in tmp_path.iterdir()] == ["memory.tar"]


def test_keys(api: ApiWorld, client: Client) -> None:
    made = client.create_key(["query"], name="the website", expires="2099-01-01T00:00:00+00:00")
    with Client(api.url, made.secret) as reader, pytest.raises(PermissionDeniedError):
        reader.memorize("Keeper waits.")
    rotated = client.rotate_key(made.key.id)
    assert client.revoke_key(rotated.key.id).revoked is not None
    with Client(api.url, rotated.secret) as revoked, pytest.raises(AuthenticationError):
        revoked.search("Keeper")
    assert {each.name for each in client.api_keys()} >= {"the website"}


def test_a_tenant_from_an_archive(api: ApiWorld, client: Client, tmp_path: Path) -> None:
    client.memorize("The owl is brown.", id="owl")
    archive = client.export(tmp_path / "memory.tar")
    name = f"back {uuid.uuid4().hex}"
    with Client(api.url, api.operator) as operator:
        assert operator.import_tenant(archive, name=name).documents >= 1
        with pytest.raises(ConflictError, match="already"):
            operator.import_tenant(archive, name=name)

    async def run() -> None:
        async with AsyncClient(api.url, api.operator) as operator:
            made = await operator.import_tenant(archive, name=f"{name} again")
            assert made.name == f"{name} again"

    asyncio.run(run())


def test_what_an_operator_does(api: ApiWorld) -> None:
    name = f"anna {uuid.uuid4().hex}?"
    with Client(api.url, api.operator) as operator:
        assert operator.create_tenant(name, max_documents=5).settings.max_documents == 5
        with pytest.raises(ConflictError, match="already"):
            operator.create_tenant(name)
        assert operator.change_tenant(name, max_documents=None).settings.max_documents is None
        operator.change_tenant(name, attribute_quotas={"session": {"max_documents": 1}})
        key = operator.create_tenant_key(name, ["query", "ingest"])
        with Client(api.url, key.secret) as anna:
            anna.memorize("Keeper waits.")
        assert operator.tenant(name).documents == 1
        assert name in {each.name for each in operator.tenants()}
        rotated = operator.rotate_tenant_key(name, key.key.id)
        assert operator.revoke_tenant_key(name, rotated.key.id).revoked is not None
        assert {each.id for each in operator.tenant_keys(name)} >= {key.key.id, rotated.key.id}
        assert name in {each.tenant for each in operator.status().tenants}
        operator.delete_tenant(name)
        with pytest.raises(NotFoundError):
            operator.tenant(name)


class TestFiles:
    def test_a_folder_with_its_progress(self, client: Client, tmp_path: Path) -> None:
        folder = tmp_path / "in"
        (folder / "north").mkdir(parents=True)
        (folder / "north" / "owl.txt").write_text("The owl is brown. " * 20)
        (folder / ".hidden").write_text("no")
        rows = [json.dumps({"id": f"k{n}", "text": f"Keeper {n}."}) for n in range(5)]
        (folder / "turns.jsonl").write_text("\n".join(rows))
        told: list[tuple[str, int, int]] = []
        sent = client.upload(folder, on_progress=lambda *each: told.append(each))
        assert (sent.taken_in, sent.refused) == (6, 0)
        assert sent.done == {"north/owl.txt", "turns.jsonl"}
        sizes = {name: (read, size) for name, read, size in told}
        assert sizes == {"north/owl.txt": (360, 360), "turns.jsonl": (169, 169)}
        client.wait(sent, timeout=30)
        states = {each.id: each.state for each in client.documents()}
        assert states == {"north/owl.txt": "memorized", **{f"k{n}": "memorized" for n in range(5)}}

    def test_it_goes_on_after_an_error(self, api: ApiWorld, key: str, tmp_path: Path) -> None:
        for name in ("a", "b", "c"):
            (tmp_path / f"{name}.txt").write_text(f"The {name} is brown.")
        uploads = 0

        class Breaking(httpx.HTTPTransport):
            def handle_request(self, request: httpx.Request) -> httpx.Response:
                nonlocal uploads
                uploads += 1
                if uploads == 2:
                    raise httpx.WriteError("cut")
                return super().handle_request(request)

        sent = Sent()
        patience = Patience(tries=1)
        with Client(api.url, key, transport=Breaking(), patience=patience) as client:
            with pytest.raises(UnreachableError):
                client.upload(tmp_path, sent=sent)
            assert sent.done == {"a.txt"}
            client.upload(tmp_path, sent=sent)
        assert (uploads, sent.taken_in, sent.done) == (4, 3, {"a.txt", "b.txt", "c.txt"})

    def test_two_files_of_one_id_are_refused(self, client: Client, tmp_path: Path) -> None:
        for folder in ("north", "south"):
            (tmp_path / folder).mkdir()
            (tmp_path / folder / "owl.txt").write_text(folder)
        with pytest.raises(ValueError, match=r"owl\.txt"):
            client.upload(tmp_path / "north" / "owl.txt", tmp_path / "south" / "owl.txt")
        assert client.upload(tmp_path).taken_in == 2

    def test_an_asynchronous_upload(self, api: ApiWorld, key: str, tmp_path: Path) -> None:
        (tmp_path / "owl.txt").write_text("The owl is brown.")

        async def run() -> Sent:
            async with AsyncClient(api.url, key) as client:
                sent = await client.upload(tmp_path)
                rows = ({"text": f"Keeper {n}."} for n in range(300))
                return await client.send_documents(rows, lines=100, sent=sent)

        sent = asyncio.run(run())
        assert (sent.taken_in, sent.requests) == (301, 4)


class TestLines:
    def test_lines_that_were_read_are_passed_over(self, client: Client, tmp_path: Path) -> None:
        path = tmp_path / "turns.jsonl"
        path.write_text("".join(json.dumps({"text": f"Keeper {n}."}) + "\n" for n in range(10)))
        sent = Sent(lines={"turns.jsonl": 6})
        client.upload(path, sent=sent)
        assert (sent.read, sent.taken_in, sent.lines) == (4, 4, {"turns.jsonl": 10})


class TestTries:
    """What is tried again, and how often."""

    @staticmethod
    def breaking(kind: type[Exception], status: int | None, fails: int) -> httpx.HTTPTransport:
        class Breaking(httpx.HTTPTransport):
            left = fails

            def handle_request(self, request: httpx.Request) -> httpx.Response:
                if not self.left:
                    return super().handle_request(request)
                self.left -= 1
                if status is None:
                    raise kind("cut")
                return httpx.Response(status, headers={"retry-after": "2"}, text="not now")

        return Breaking()

    def client(self, api: ApiWorld, key: str, paused: list[float], **failing: Any) -> Client:
        settled = {"kind": httpx.ReadError, "status": None, "fails": 2, **failing}
        transport = self.breaking(**settled)
        return Client(api.url, key, transport=transport, sleep=paused.append)

    def test_a_connection_that_breaks(self, api: ApiWorld, key: str) -> None:
        paused: list[float] = []
        with self.client(api, key, paused) as client:
            assert client.memorize("Keeper waits.").taken_in == 1
        assert paused == [0.5, 1.0]

    def test_the_service_says_when(self, api: ApiWorld, key: str) -> None:
        paused: list[float] = []
        with self.client(api, key, paused, status=503) as client:
            assert client.memorize("Keeper waits.").taken_in == 1
        assert paused == [2.0, 4.0]

    def test_what_may_have_been_done_is_not_done_twice(self, api: ApiWorld, key: str) -> None:
        paused: list[float] = []
        with self.client(api, key, paused) as client:
            with pytest.raises(UnreachableError):
                client.create_key(["query"])
            with pytest.raises(UnreachableError):
                client.fork("draft")
            assert len(client.api_keys()) == 1
        assert paused == []

    @pytest.mark.parametrize("failing", [{"kind": httpx.ConnectError}, {"status": 429}])
    def test_what_never_got_there_is_tried_again(
        self, api: ApiWorld, key: str, failing: dict[str, Any]
    ) -> None:
        with self.client(api, key, [], **failing) as client:
            client.create_key(["query"])
            assert len(client.api_keys()) == 2

    def test_an_answer_that_was_lost_is_given_again(self, api: ApiWorld, key: str) -> None:
        class Losing(httpx.HTTPTransport):
            lost = False

            def handle_request(self, request: httpx.Request) -> httpx.Response:
                answer = super().handle_request(request)
                if not self.lost:
                    self.lost = True
                    answer.read()
                    raise httpx.ReadError("cut")
                return answer

        with Client(api.url, key, transport=Losing(), sleep=lambda seconds: None) as client:
            taken = client.memorize("Keeper waits.")
        assert (taken.taken_in, taken.known) == (1, 0)  # as the first answer said it

    def test_patience_ends(self, api: ApiWorld, key: str) -> None:
        paused: list[float] = []
        client = self.client(api, key, paused, status=503, fails=99)
        with client, pytest.raises(ClientError, match="not now") as caught:
            client.query("Who?")
        assert (caught.value.status, caught.value.retry_after, len(paused)) == (503, 2.0, 5)

    def test_an_asynchronous_client_tries_again_too(self, api: ApiWorld, key: str) -> None:
        paused: list[float] = []

        class Breaking(httpx.AsyncHTTPTransport):
            async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
                if not paused:
                    raise httpx.ReadError("cut")
                return await super().handle_async_request(request)

        async def sleep(seconds: float) -> None:
            paused.append(seconds)

        async def run() -> int:
            async with AsyncClient(api.url, key, transport=Breaking(), sleep=sleep) as client:
                return (await client.memorize("Keeper waits.")).taken_in

        assert (asyncio.run(run()), paused) == (1, [0.5])


def test_a_client_needs_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MPLUS_API_KEY", raising=False)
    with pytest.raises(ValueError, match="MPLUS_API_KEY"):
        Client()
    monkeypatch.setenv("MPLUS_API_KEY", "mplus_no")
    monkeypatch.setenv("MPLUS_URL", "http://example.org/memory")
    with Client() as client:
        assert str(client.http.base_url) == "http://example.org/memory/"


def test_methods_show_their_arguments(client: Client) -> None:
    assert list(inspect.signature(client.document).parameters) == ["id", "passages"]
    assert next(iter(inspect.signature(client.documents).parameters)) == "filter"
    assert (client.query.__doc__ or "").startswith("Ask")


def test_webhooks(client: Client) -> None:
    made = client.create_webhook("https://example.com/hook", events=["webhook.test"])
    hook = made.webhook.id
    changed = client.change_webhook(hook, enabled=False, description="mine")
    assert (changed.enabled, changed.description) == (False, "mine")
    listed = [each.model_dump() for each in client.webhooks()]
    assert client.webhook(hook).model_dump() in listed
    assert client.rotate_webhook(hook).secret != made.secret
    with pytest.raises(ApiError, match="disabled"):
        client.test_webhook(hook)
    assert client.deliveries(hook, state="failed", limit=3).deliveries == []
    with pytest.raises(NotFoundError):
        client.redeliver(hook, "0badc0de")
    assert client.delete_webhook(hook).id == hook
