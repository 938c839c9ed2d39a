"""Secrets: nothing of a document, a question or a key in any log, and no key after its end."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from mplus_ray.services.logs import OURS, HumanFormatter, JsonFormatter, configure
from tests.api_world import ApiWorld, bearer, serving, until
from tests.isolation import QUESTION, STEM, Planted, leaked, plant
from tests.worlds import load_model

WRONG = "mplus_00000000_" + "B" * 43


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiWorld]:
    folder = tmp_path_factory.mktemp("logs")
    with serving(load_model(folder / "checkpoint"), folder) as world:
        yield world


class Kept(logging.Handler):
    """Every record of everybody, with all that anyone could write of it."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.names: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        self.names.add(record.name)
        forms: tuple[logging.Formatter, ...] = (JsonFormatter(), HumanFormatter())
        self.lines += [form.format(record) for form in forms]
        # What pytest's own handler makes of an exception is not what ours do.
        self.lines.append(repr({**vars(record), "exc_info": None, "exc_text": None}))


@pytest.fixture
def logs() -> Iterator[tuple[Kept, io.StringIO]]:
    """As `MPLUS_LOG_LEVEL=debug` sets it up; everything is as before afterwards."""
    loggers = [logging.getLogger(name) for name in (None, *OURS)]
    levels = [logger.level for logger in loggers]
    stream, kept = io.StringIO(), Kept()
    handler = configure({"MPLUS_LOG": "json", "MPLUS_LOG_LEVEL": "debug"}, stream)
    logging.getLogger().addHandler(kept)
    try:
        yield kept, stream
    finally:
        for one in (handler, kept):
            logging.getLogger().removeHandler(one)
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def go_wrong(api: ApiWorld, theirs: Planted) -> None:
    """Everything that fails, with words in it that are nobody's business."""
    client, headers = api.client, theirs.headers
    post = {"POST": "/v1/documents"}
    for body in (f'{{"text": "{STEM}', f'{{"{STEM}": 1}}', f'{{"text": ["{STEM}"]}}'):
        sent = {**headers, "content-type": "application/json"}
        assert client.post(post["POST"], content=body, headers=sent).status_code == 422
    for name, content in (
        ("bad.pdf", f"%PDF {STEM}"),
        ("bad.docx", f"PK {STEM}"),
        (STEM, f"\0\1{STEM}\0"),
    ):
        upload = [("files", (name, content.encode()))]
        assert client.post(post["POST"], files=upload, headers=headers).status_code == 422
    lines = {**headers, "content-type": "application/x-ndjson"}
    client.post(post["POST"], content=f'{STEM}\n{{"text": "{STEM}"}}', headers=lines)
    for path in (f"/v1/documents/{STEM}", f"/v1/jobs/{STEM}", f"/{STEM}", f"/v1/models/{STEM}"):
        assert client.get(path, headers=headers).status_code == 404
    api.ask(headers, QUESTION, snapshot=STEM)
    api.ask(headers, QUESTION, as_of=STEM)
    api.ask(headers, f"{STEM} " * 9000)
    for secret in (WRONG, f"{STEM} {WRONG}", theirs.ids["key_text"] + "x"):
        assert client.get("/v1/memory", headers=bearer(secret)).status_code == 401


def be_broken(api: ApiWorld, theirs: Planted, monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors that nobody foresaw, which quote what they were given."""

    def fail(*_: Any, **__: Any) -> Any:
        raise ValueError(f"{STEM} cannot be read")

    with monkeypatch.context() as patch:
        patch.setattr("mplus_ray.services.api.routes.memory.read_tenant_stats", fail)
        assert api.client.get("/v1/memory", headers=theirs.headers).status_code == 500
    with monkeypatch.context() as patch:
        patch.setattr("mplus_ray.services.api.ask.service.cite", fail)
        assert api.ask(theirs.headers, QUESTION).status_code == 500
    with monkeypatch.context() as patch:
        patch.setattr("mplus_ray.services.api.ingest.service.entry_of", fail)
        sent = {"text": f"{STEM} again"}
        answer = api.client.post("/v1/documents", json=sent, headers=theirs.headers)
        assert answer.status_code == 500
        assert STEM not in answer.text


def test_no_log_has_a_text_a_question_an_id_or_a_key(
    api: ApiWorld, logs: tuple[Kept, io.StringIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, stream = logs
    theirs = plant(api)
    chat = {"model": "mplus-test", "messages": [{"role": "user", "content": QUESTION}]}
    for more in ({}, {"stream": True}, {"store": True}):
        sent = {**chat, **more, "max_tokens": 2}
        api.client.post("/v1/chat/completions", json=sent, headers=theirs.headers)
    api.ask(theirs.headers, QUESTION, stream=True)
    rotated = api.client.post(f"/v1/keys/{theirs.ids['key']}/rotate", headers=theirs.headers).json()
    api.client.get(f"/v1/documents?q={STEM}", headers=theirs.headers)
    api.client.get("/v1/memory/export?memory=true", headers=theirs.headers)
    go_wrong(api, theirs)
    be_broken(api, theirs, monkeypatch)
    log = api.log(theirs.headers)
    until(lambda: not log.waiting())
    written = "\n".join([*kept.lines, stream.getvalue()])
    assert "mplus_ray.services.api.middleware" in kept.names
    assert len(stream.getvalue().splitlines()) > 30
    for line in stream.getvalue().splitlines():
        json.loads(line)
    hidden = ("text", "unnamed_text", "title", "key_text", "once", "fork", "snapshot", "file")
    secrets = [theirs.ids[name] for name in hidden]
    secrets += [theirs.headers["authorization"], rotated["secret"], WRONG, api.operator]
    assert not [secret for secret in (STEM, *secrets) if secret.lower() in written.lower()]
    bodies = [secret[-43:] for secret in (rotated["secret"], theirs.headers["authorization"])]
    assert not [body for body in bodies if body in written]


def every_answer(api: ApiWorld, headers: dict[str, str]) -> Iterator[Any]:
    """Of good and bad requests to routes of all kinds."""
    send = api.client.request
    for path in ("/v1/memory", "/v1/keys", "/v1/documents", "/v1/models", "/metrics", "/v1/x", "/"):
        for method in ("GET", "POST", "PUT", "OPTIONS", "TRACE"):
            yield send(method, path, headers=headers)
    yield send("POST", "/v1/query", json={"question": "Who?", "max_tokens": 1}, headers=headers)
    yield send("POST", "/v1/query", json={"question": 1}, headers=headers)
    yield send("POST", "/v1/query", content=b"{", headers=headers)
    yield send("POST", "/v1/chat/completions", json={"model": "x"}, headers=headers)
    yield send("POST", "/mcp", content=b"{", headers=headers)
    yield send("POST", "/v1/documents", content=b"x", headers=headers)


@pytest.mark.parametrize("form", ["Bearer {}", "bearer {}", "Basic {}", "{}", "Bearer {} x"])
def test_a_key_that_was_sent_is_never_sent_back(api: ApiWorld, form: str) -> None:
    good = api.fresh()["authorization"].removeprefix("Bearer ")
    for secret in (good, WRONG, api.operator):
        headers = {"authorization": form.format(secret), "x-request-id": "mine"}
        for answer in every_answer(api, headers):
            assert not leaked(answer, [secret, secret[-43:]])
            assert "authorization" not in answer.headers


class TestTheEndOfAKey:
    """From the answer on that says so, with no request in between that still gets through."""

    def doors(self, api: ApiWorld, headers: dict[str, str]) -> set[int]:
        """What every way in says to a key."""
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
        accept = {"accept": "application/json, text/event-stream"}
        chat = {"model": "mplus-test", "messages": [{"role": "user", "content": "?"}]}
        post = api.client.post
        return {
            api.client.get("/v1/documents", headers=headers).status_code,
            api.ask(headers, "Who?", max_tokens=1).status_code,
            post("/v1/query", json={"question": "?", "stream": True}, headers=headers).status_code,
            post("/v1/chat/completions", json=chat, headers=headers).status_code,
            post("/mcp", json=message, headers={**headers, **accept}).status_code,
        }

    def test_revoked(self, api: ApiWorld) -> None:
        headers = api.fresh()
        made = api.client.post("/v1/keys", json={"scopes": ["query"]}, headers=headers).json()
        using = bearer(made["secret"])
        assert self.doors(api, using) == {200}
        api.client.delete(f"/v1/keys/{made['key']['id']}", headers=headers)
        assert self.doors(api, using) == {401}
        assert self.doors(api, headers) == {200}

    def test_rotated(self, api: ApiWorld) -> None:
        headers = api.fresh()
        made = api.client.post("/v1/keys", json={"scopes": ["query"]}, headers=headers).json()
        old, url = bearer(made["secret"]), f"/v1/keys/{made['key']['id']}/rotate"
        assert self.doors(api, old) == {200}
        new = bearer(api.client.post(url, headers=headers).json()["secret"])
        assert self.doors(api, old) == {401}
        assert self.doors(api, new) == {200}
        assert api.client.post(url, headers=headers).status_code == 422

    def test_its_own_end(self, api: ApiWorld) -> None:
        headers = api.fresh()
        (key,) = api.client.get("/v1/keys", headers=headers).json()["keys"]
        assert api.client.delete(f"/v1/keys/{key['id']}", headers=headers).status_code == 200
        assert self.doors(api, headers) == {401}
        assert api.client.delete(f"/v1/keys/{key['id']}", headers=headers).status_code == 401

    def test_its_tenants_end(self, api: ApiWorld) -> None:
        headers = api.fresh()
        name = api.log(headers).tenant.name
        assert self.doors(api, headers) == {200}
        assert api.client.delete(f"/v1/tenants/{name}", headers=bearer(api.operator)).is_success
        assert self.doors(api, headers) == {401}
        api.world.tenant(name)  # the name again, and it is not the same tenant
        assert self.doors(api, headers) == {401}

    def test_its_time(self, api: ApiWorld, monkeypatch: pytest.MonkeyPatch) -> None:
        log = api.log(api.fresh())
        credentials = api.world.ledger.credentials
        now = credentials._clock()
        _, secret = credentials.create(log, ["query"], expires=now + 3600)
        assert self.doors(api, bearer(secret)) == {200}
        monkeypatch.setattr(credentials, "_clock", lambda: now + 3600)
        assert self.doors(api, bearer(secret)) == {401}
