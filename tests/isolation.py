"""Two tenants that must not know of each other: what is planted in one, and how the other looks.

Everything that the first one can name or write has `Zanzibarquux` in it; what is drawn for it
(ids, keys) is noted. The others ask with its ids, or with ids of the same shape that nobody has.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

import httpx2

from tests.api_world import ApiWorld, bearer, until

STEM, NOBODYS = "Zanzibarquux", "Quuxzanzibar"
QUESTION = f"Does {STEM} sing?"

_SHAPES = (
    (re.compile(f"{STEM}|{NOBODYS}", re.IGNORECASE), "STEM"),
    (re.compile(r"whsec_[A-Za-z0-9+/=]{44}"), "SECRET"),
    (re.compile(r"mplus_[0-9a-f]{8}_[A-Za-z0-9_-]{43}"), "KEY"),
    (re.compile(r"[0-9a-f]{8,}"), "HEX"),
    (re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+\+00:00"), "TIME"),
    (re.compile(r'"created":\d{10}'), '"created":TIME'),
)
_DRAWN = re.compile(r"(?<![0-9a-f])([0-9a-f]{32}|[0-9a-f]{8})(?![0-9a-f])")  # not a cursor's time
_MESSAGE = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}


@dataclass(frozen=True)
class Planted:
    """A tenant that has something of everything.

    Attributes:
        headers: of its key.
        ids: what somebody could ask for, by the name that probes use.
        secrets: what was drawn for it, so that it has no `Zanzibarquux`.
    """

    headers: dict[str, str]
    ids: dict[str, str]
    secrets: tuple[str, ...]

    @property
    def nobodys(self) -> dict[str, str]:
        """Ids of the same shapes and lengths that never were."""
        return {name: unlike(value) for name, value in self.ids.items()}


def unlike(text: str) -> str:
    """A text of the same shape that is nobody's."""
    if STEM in text:
        return text.replace(STEM, NOBODYS)
    digits = "0123456789abcdef"
    turned = str.maketrans(digits, digits[1:] + digits[0])
    return _DRAWN.sub(lambda run: run[0].translate(turned), text)


def plant(api: ApiWorld) -> Planted:
    """A tenant with documents, jobs, keys, snapshots, forks and a forgotten text."""
    tenant = f"{STEM}-tenant"
    log, headers = api.tenant(tenant)
    post = _poster(api, headers)
    first = api.memorize(
        headers,
        f"{STEM} sings in the first text.",
        id=f"{STEM}/one",
        title=f"{STEM} title",
        metadata={f"{STEM} field": f"{STEM} value"},
        session=f"{STEM}-session",
        tags=[f"{STEM}-tag"],
    )
    unnamed = api.memorize(headers, f"{STEM} sings in a text without an id.")
    upload = [("files", (f"{STEM}-file.md", f"# {STEM} head\n\n{STEM} sings in a file.".encode()))]
    upload += [("files", (f"{STEM}.exe", b"fails"))]
    filed = api.client.post("/v1/documents?wait=true", files=upload, headers=headers).json()
    once = {"idempotency-key": f"{STEM}-once"}
    post("/v1/documents?wait=true", {"text": f"{STEM} sings once."}, once)
    api.memorize(headers, f"{STEM} sings what is forgotten.", id=f"{STEM}/gone")
    fork = post("/v1/memory/fork", {"name": f"{STEM}-fork"})
    receipt = api.client.delete(f"/v1/documents/{STEM}/gone", headers=headers).json()
    until(lambda: log.jobs.get(receipt["id"]).state != "waiting")  # nothing moves any more
    post("/v1/memory/snapshot", {"name": f"{STEM}-snapshot"})
    key = post("/v1/keys", {"scopes": ["query"], "name": f"{STEM} key"})
    hook, secret_of_hook = log.webhooks.create("https://example.com/hook", (), f"{STEM} hook")
    delivery = log.webhooks.test(hook.id).id
    log.webhooks.update(hook.id, enabled=False)  # so that nothing is sent
    assert api.ask(headers, QUESTION).json()["citations"]
    page = api.client.get("/v1/documents?limit=1", headers=headers).json()
    secret = headers["authorization"].removeprefix("Bearer ")
    ids = {
        "document": first["id"],
        "file": f"{STEM}-file.md",
        "unnamed": unnamed["id"],
        "gone": receipt["document_id"],
        "text": f"{STEM} sings in the first text.",
        "unnamed_text": f"{STEM} sings in a text without an id.",
        "gone_text": f"{STEM} sings what is forgotten.",
        "title": f"{STEM} title",
        "session": f"{STEM}-session",
        "tag": f"{STEM}-tag",
        "filter": json.dumps({"session": f"{STEM}-session", "tags": [f"{STEM}-tag"]}),
        "cursor": page["next_cursor"],
        "job": first["job_id"],
        "receipt": receipt["id"],
        "key": key["key"]["id"],
        "key_name": f"{STEM} key",
        "key_text": key["secret"],
        "snapshot": f"{STEM}-snapshot",
        "fork": f"{STEM}-fork",
        "tenant": tenant,
        "once": f"{STEM}-once",
        "webhook": hook.id,
        "delivery": delivery,
    }
    drawn = [log.tenant.id, secret, fork["secret"], fork["key"]["id"], filed["job_id"]]
    drawn += [hook.id, delivery, secret_of_hook]
    drawn += [ids[name] for name in ("cursor", "job", "receipt", "key", "key_text")]
    return Planted(headers, ids, tuple(drawn))


def _poster(api: ApiWorld, headers: dict[str, str]) -> Callable[..., dict[str, Any]]:
    def post(path: str, body: Any, more: dict[str, str] | None = None) -> dict[str, Any]:
        answer = api.client.post(path, json=body, headers={**headers, **(more or {})})
        assert answer.is_success, answer.text
        return dict(answer.json())

    return post


@dataclass(frozen=True)
class Watched:
    """Another tenant's client: every byte that comes back is searched for what was planted."""

    api: ApiWorld
    headers: dict[str, str]
    planted: Planted

    def send(self, method: str, url: str, **options: Any) -> httpx2.Response:
        headers = {**self.headers, **options.pop("headers", {})}
        answer = self.api.client.request(method, url, headers=headers, **options)
        request = answer.request
        asked = unquote_to_bytes(str(request.url)) + request.read() + repr(headers).encode()
        leaks = leaked(answer, [STEM, *self.planted.secrets], asked)
        assert not leaks, (method, url, leaks)
        return answer

    def call(self, tool: str, **arguments: Any) -> httpx2.Response:
        """A tool of `/mcp`."""
        sent = {**_MESSAGE, "params": {"name": tool, "arguments": arguments}}
        accept = {"accept": "application/json, text/event-stream"}
        return self.send("POST", "/mcp", json=sent, headers=accept)


def leaked(answer: httpx2.Response, secrets: Iterable[str], asked: bytes = b"") -> list[str]:
    """The secrets in a response that its request did not bring."""
    lines = [value for pair in answer.headers.raw for value in pair]
    raw = b"\n".join([*lines, answer.reason_phrase.encode(), answer.content])
    shown = (raw + b"\n" + unquote_to_bytes(raw)).lower()
    brought = asked.lower()
    return [
        secret
        for secret in secrets
        if secret.lower().encode() not in brought
        and (secret.lower().encode() in shown or any(form in raw for form in _base64(secret)))
    ]


def _base64(secret: str) -> list[bytes]:
    """What of a text is the same in every Base64 that has it, at each of three places."""
    found = []
    for place in range(3):
        coded = base64.b64encode(b"\0" * place + secret.encode())
        found.append(coded[(8 * place + 5) // 6 : -4])
    return found


def shape(answer: httpx2.Response) -> tuple[int, dict[str, str], str]:
    """A response without what is drawn, dated, or was named by the request."""
    headers = {k: v for k, v in answer.headers.items() if k != "x-request-id"}
    return (
        answer.status_code,
        {name: blank(value) for name, value in headers.items()},
        blank(answer.text),
    )


def blank(text: str) -> str:
    for pattern, word in _SHAPES:
        text = pattern.sub(word, text)
    return text


def watched(api: ApiWorld, planted: Planted, name: str) -> Watched:
    """A tenant of that name which has one document of its own, and looks."""
    log = api.world.tenant(name)
    _, secret = api.world.ledger.credentials.create(log, ["query", "ingest", "admin"])
    headers = bearer(secret)
    api.memorize(headers, "The owl is brown.", id="own", title="Owls")
    return Watched(api, headers, planted)
