"""How every operation of the API is asked about what belongs to another tenant.

`$name` in a probe stands for an id of `tests.isolation.Planted`. The order is that of the tests:
what makes a thing of one's own by another's id comes after what looks for it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from string import Template
from typing import Any
from urllib.parse import quote

import httpx2

from tests.isolation import STEM, Watched


@dataclass(frozen=True)
class Probe:
    """One request.

    Attributes:
        url: path and query.
        status: what it has to be answered with, by whomever the ids are.
        upload: the name of a file that is handed in.
        lines: body of newline-delimited JSON.
        plain: body of plain text.
        drawn: the response is drawn or dated all over, so it is only searched.
    """

    url: str
    body: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    upload: str | None = None
    lines: str | None = None
    plain: str | None = None
    drawn: bool = False

    def send(self, method: str, client: Watched, ids: Mapping[str, str]) -> httpx2.Response:
        quoted = {name: quote(value, safe="/") for name, value in ids.items()}
        options: dict[str, Any] = {
            "headers": {name: fill(value, ids) for name, value in self.headers.items()}
        }
        if self.body is not None:
            options["json"] = json.loads(fill(json.dumps(self.body), ids))
        if self.upload is not None:
            named = fill(self.upload, ids)
            options["files"] = [("files", (named, b"Our own text in a file."))]
        if self.lines is not None:
            options["headers"]["content-type"] = "application/x-ndjson"
            options["content"] = fill(self.lines, ids).encode()
        if self.plain is not None:
            options["headers"]["content-type"] = "text/plain"
            options["content"] = self.plain.encode()
        return client.send(method, fill(self.url, quoted), **options)


def fill(text: str, ids: Mapping[str, str]) -> str:
    return Template(text).substitute(ids)


def chat(**fields: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": "Who sings in the first text?"}]
    return {"model": "mplus-test", "messages": messages, "max_tokens": 3} | fields


def complete(**fields: Any) -> dict[str, Any]:
    prompt = "Who sings in the first text?"
    return {"model": "mplus-test", "prompt": prompt, "max_tokens": 3} | fields


def respond(**fields: Any) -> dict[str, Any]:
    asked = "Who sings in the first text?"
    return {"model": "mplus-test", "input": asked, "max_output_tokens": 3} | fields


def ask(question: str, **fields: Any) -> dict[str, Any]:
    return {"question": question, "max_tokens": 3, "citations": 20, **fields}


def _of_webhook(rest: str) -> tuple[Probe, ...]:
    return tuple(
        Probe(f"/v1/webhooks/${name}{rest}", status=404) for name in ("webhook", "delivery", "job")
    )


_PARTS = {"role": "user", "content": [{"type": "text", "text": f"Does {STEM} sing?"}]}
_IN = "/v1/documents?wait=true"
_OWN = "Our own text number"
# A form and a tool whose words are another tenant's.
_SCHEMA = {"type": "object", "properties": {"x": {"enum": ["y", "z"]}}}
_FUNCTION = {"name": "$tenant", "description": "$title", "parameters": _SCHEMA}
_FORM = {"name": "$tenant", "description": "$title", "schema": _SCHEMA}
_CHOICE = {
    "type": "allowed_tools",
    "allowed_tools": {"mode": "$title", "tools": [{"name": "$tenant"}]},
}
_CALL = {
    "id": "$document",
    "type": "function",
    "function": {"name": "$tenant", "arguments": "$title"},
}
_TALKED = [
    {"role": "user", "content": "Who sings in the first text?"},
    {"role": "assistant", "content": None, "tool_calls": [_CALL]},
    {"role": "tool", "tool_call_id": "$document", "content": "$title"},
]
_ITEMS = [
    {"role": "user", "content": "Who sings in the first text?"},
    {"type": "function_call", "call_id": "$document", "name": "$tenant", "arguments": "$title"},
    {"type": "function_call_output", "call_id": "$document", "output": "$title"},
]
_FILTER = {
    "session": "$session",
    "tags": ["$tag"],
    "ids": ["$document"],
    "metadata": {"$title field": "$title"},
}
_EVERY_DOCUMENT = ("document", "file", "unnamed", "gone", "job", "text", "tenant", "cursor")

PROBES: dict[tuple[str, str], tuple[Probe, ...]] = {
    ("GET", "/healthz"): (Probe("/healthz"),),
    ("GET", "/readyz"): (Probe("/readyz"),),
    ("GET", "/metrics"): (Probe("/metrics", status=403),),
    ("GET", "/v1/documents"): (
        Probe("/v1/documents"),
        Probe("/v1/documents?state=memorized&limit=200"),
        Probe("/v1/documents?q=$document"),
        Probe("/v1/documents?q=$title"),
        Probe("/v1/documents?cursor=$cursor"),
        Probe("/v1/documents?cursor=$job", status=422),
        Probe("/v1/documents?filter=$filter"),
    ),
    ("DELETE", "/v1/documents"): (Probe("/v1/documents?filter=$filter", status=202),),
    ("GET", "/v1/documents/{document_id}"): tuple(
        Probe(f"/v1/documents/${name}", status=404) for name in _EVERY_DOCUMENT
    ),
    ("DELETE", "/v1/documents/{document_id}"): tuple(
        Probe(f"/v1/documents/${name}", status=404) for name in _EVERY_DOCUMENT
    ),
    ("PATCH", "/v1/documents/{document_id}"): (
        *(Probe(f"/v1/documents/${name}", {"tags": ["$tag"]}, 404) for name in _EVERY_DOCUMENT),
        Probe("/v1/documents/$document", {"session": "$session", "metadata": {"$title": 1}}, 404),
        Probe("/v1/documents/own", {"session": "$session", "tags": ["$tag"]}),
        Probe("/v1/documents/own", {"session": None, "tags": None}),  # its export has none of it
    ),
    ("GET", "/v1/jobs"): (
        Probe("/v1/jobs"),
        Probe("/v1/jobs?cursor=$job", status=422),
        Probe("/v1/jobs?cursor=$receipt", status=422),
    ),
    ("GET", "/v1/jobs/{job_id}"): (
        Probe("/v1/jobs/$job", status=404),
        Probe("/v1/jobs/$receipt", status=404),
        Probe("/v1/jobs/$key", status=404),
    ),
    ("POST", "/v1/query"): (
        Probe("/v1/query", ask("Who sings in the first text?")),
        Probe("/v1/query", ask("Who sings in the first text?", stream=True)),
        Probe("/v1/query", ask(f"What does {STEM}/one say?")),
        Probe("/v1/query", ask("Who?", snapshot="$snapshot"), 422),
        Probe("/v1/query", ask("Who?", as_of="$snapshot"), 422),
        Probe("/v1/query", ask("Who?", stop=["$title"])),
        Probe("/v1/query", ask("Who?", filter=_FILTER)),
    ),
    ("POST", "/v1/query/batch"): (
        Probe("/v1/query/batch", {"questions": [ask("Who sings in the first text?")]}),
        Probe(
            "/v1/query/batch",
            {
                "questions": [
                    ask("Who?", id="$document", stop=["$title"]),
                    ask("Who?", filter=_FILTER),
                    ask("Who?", snapshot="$snapshot"),
                    ask("Who?", as_of="$snapshot"),
                ]
            },
        ),
        Probe(
            "/v1/query/batch",
            {"questions": [ask("Who sings in the first text?", id="$job")]},
            headers={"accept": "application/x-ndjson"},
        ),
    ),
    ("POST", "/v1/search"): (
        Probe("/v1/search", {"query": "Who sings in the first text?", "limit": 100}),
        Probe("/v1/search", {"query": f"What does {STEM}/one say?", "limit": 100}),
        Probe("/v1/search", {"query": "Who?", "snapshot": "$snapshot"}, 422),
        Probe("/v1/search", {"query": "Who?", "as_of": "$snapshot"}, 422),
        Probe("/v1/search", {"query": "Who?", "filter": _FILTER}),
    ),
    ("POST", "/v1/chat/completions"): (
        Probe("/v1/chat/completions", chat()),
        Probe("/v1/chat/completions", chat(stream=True)),
        Probe("/v1/chat/completions", chat(stop="$title", messages=[_PARTS])),
        Probe("/v1/chat/completions", chat(store=True)),
        Probe("/v1/chat/completions", chat(snapshot="$snapshot"), 422),
        Probe("/v1/chat/completions", chat(as_of="$snapshot"), 422),
        Probe("/v1/chat/completions", chat(model="$tenant"), 404),
        Probe("/v1/chat/completions", chat(filter=_FILTER)),
        Probe("/v1/chat/completions", chat(metadata={"$title field": "$title"})),
        Probe("/v1/chat/completions", chat(messages=_TALKED)),
        Probe(
            "/v1/chat/completions",
            chat(response_format={"type": "json_schema", "json_schema": _FORM}),
        ),
        Probe("/v1/chat/completions", chat(tools=[{"type": "function", "function": _FUNCTION}])),
        Probe("/v1/chat/completions", chat(tool_choice="$title"), 422),
        Probe("/v1/chat/completions", chat(tool_choice=_CHOICE), 422),
    ),
    ("POST", "/v1/completions"): (
        Probe("/v1/completions", complete()),
        Probe("/v1/completions", complete(stream=True)),
        Probe("/v1/completions", complete(stop="$title", prompt=f"Does {STEM} sing?")),
        Probe("/v1/completions", complete(snapshot="$snapshot"), 422),
        Probe("/v1/completions", complete(as_of="$snapshot"), 422),
        Probe("/v1/completions", complete(model="$tenant"), 404),
        Probe("/v1/completions", complete(filter=_FILTER)),
        Probe("/v1/completions", complete(metadata={"session": "$session"})),
    ),
    ("POST", "/v1/responses"): (
        Probe("/v1/responses", respond()),
        Probe("/v1/responses", respond(stream=True)),
        Probe("/v1/responses", respond(stop="$title", instructions="Be as $title.")),
        Probe("/v1/responses", respond(store=True)),
        Probe("/v1/responses", respond(previous_response_id="$document"), 422),
        Probe("/v1/responses", respond(snapshot="$snapshot"), 422),
        Probe("/v1/responses", respond(as_of="$snapshot"), 422),
        Probe("/v1/responses", respond(model="$tenant"), 404),
        Probe("/v1/responses", respond(filter=_FILTER)),
        Probe("/v1/responses", respond(metadata={"session": "$session"})),
        Probe("/v1/responses", respond(input=_ITEMS)),
        Probe("/v1/responses", respond(tools=[{"type": "function", **_FUNCTION}])),
        Probe("/v1/responses", respond(tool_choice={"type": "function", "name": "$tenant"}), 422),
        Probe("/v1/responses", respond(tool_choice="$tenant"), 422),
        Probe("/v1/responses", respond(tool_choice={"type": "x", "mode": "$tenant"}), 422),
        Probe("/v1/responses", respond(text={"format": {"type": "json_schema", **_FORM}})),
    ),
    ("GET", "/v1/models"): (Probe("/v1/models"),),
    ("GET", "/v1/models/{model_id}"): (
        Probe("/v1/models/mplus-test"),
        Probe("/v1/models/$tenant", status=404),
    ),
    ("GET", "/v1/memory"): (Probe("/v1/memory"),),
    ("GET", "/v1/memory/usage"): (
        Probe("/v1/memory/usage"),
        Probe("/v1/memory/usage?filter=$filter"),
    ),
    ("GET", "/v1/memory/map"): (Probe("/v1/memory/map?steps=10"),),
    ("GET", "/v1/memory/snapshots"): (Probe("/v1/memory/snapshots"),),
    ("DELETE", "/v1/memory/snapshots/{name}"): (
        Probe("/v1/memory/snapshots/$snapshot", status=404),
    ),
    ("GET", "/v1/memory/export"): (
        Probe("/v1/memory/export", drawn=True),
        Probe("/v1/memory/export?memory=true", drawn=True),
    ),
    ("POST", "/v1/memory/snapshot"): (
        Probe("/v1/memory/snapshot", {"name": "$snapshot"}, 201),
        Probe("/v1/memory/snapshot", {"name": "x$snapshot", "step": 100}, 422),
    ),
    ("POST", "/v1/memory/fork"): (
        Probe("/v1/memory/fork", {"name": "$fork"}, 201),
        Probe("/v1/memory/fork", {"name": "$tenant"}, 201),
        Probe("/v1/memory/fork", {"name": "$tenant"}, 422),
    ),
    ("GET", "/v1/keys"): (Probe("/v1/keys"),),
    ("POST", "/v1/keys"): (Probe("/v1/keys", {"scopes": ["query"], "name": "$key_name"}, 201),),
    ("DELETE", "/v1/keys/{key_id}"): (
        Probe("/v1/keys/$key", status=404),
        Probe("/v1/keys/$key_text", status=404),
    ),
    ("POST", "/v1/keys/{key_id}/rotate"): (
        Probe("/v1/keys/$key/rotate", status=404),
        Probe("/v1/keys/$key_text/rotate", status=404),
    ),
    ("GET", "/v1/webhooks"): (Probe("/v1/webhooks"),),
    ("POST", "/v1/webhooks"): (
        Probe("/v1/webhooks", {"url": "https://example.com/$tag", "description": "$title"}, 201),
        Probe("/v1/webhooks", {"url": "$title"}, 422),
    ),
    ("GET", "/v1/webhooks/{webhook_id}"): _of_webhook(""),
    ("PATCH", "/v1/webhooks/{webhook_id}"): (
        Probe("/v1/webhooks/$webhook", {"url": "https://example.com/$tag"}, 404),
        Probe("/v1/webhooks/$webhook", {"url": "$title"}, 422),
        Probe("/v1/webhooks/$webhook", {"description": "$title", "enabled": False}, 404),
    ),
    ("DELETE", "/v1/webhooks/{webhook_id}"): _of_webhook(""),
    ("POST", "/v1/webhooks/{webhook_id}/rotate"): _of_webhook("/rotate"),
    ("POST", "/v1/webhooks/{webhook_id}/test"): _of_webhook("/test"),
    ("GET", "/v1/webhooks/{webhook_id}/deliveries"): (
        *_of_webhook("/deliveries"),
        Probe("/v1/webhooks/$webhook/deliveries?cursor=$delivery", status=404),
    ),
    ("POST", "/v1/webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver"): _of_webhook(
        "/deliveries/$delivery/redeliver"
    ),
    ("GET", "/v1/tenants"): (Probe("/v1/tenants", status=403),),
    ("POST", "/v1/tenants"): (Probe("/v1/tenants", {"name": "$tenant"}, 403),),
    ("GET", "/v1/tenants/{name}"): (Probe("/v1/tenants/$tenant", status=403),),
    ("PATCH", "/v1/tenants/{name}"): (
        Probe("/v1/tenants/$tenant", {"concurrent_questions": 0}, 403),
    ),
    ("DELETE", "/v1/tenants/{name}"): (Probe("/v1/tenants/$tenant", status=403),),
    ("POST", "/v1/tenants/{name}/keys"): (
        Probe("/v1/tenants/$tenant/keys", {"scopes": ["admin"], "name": "$key_name"}, 403),
    ),
    ("GET", "/v1/tenants/{name}/keys"): (Probe("/v1/tenants/$tenant/keys", status=403),),
    ("DELETE", "/v1/tenants/{name}/keys/{key_id}"): (
        Probe("/v1/tenants/$tenant/keys/$key", status=403),
    ),
    ("POST", "/v1/tenants/{name}/keys/{key_id}/rotate"): (
        Probe("/v1/tenants/$tenant/keys/$key/rotate", status=403),
    ),
    ("POST", "/v1/tenants/import"): (
        Probe("/v1/tenants/import?name=$tenant", {"name": "$tenant"}, 403),
    ),
    ("GET", "/v1/status"): (Probe("/v1/status", status=403),),
    ("POST", "/v1/documents"): (
        Probe(_IN, {"text": f"{_OWN} 1.", "id": "$document"}),
        Probe(_IN, {"text": f"{_OWN} 2.", "title": "$title", "metadata": {"$title": "$job"}}),
        Probe(_IN, {"text": f"{_OWN} 3."}, headers={"idempotency-key": "$once"}),
        Probe(_IN, {"text": "$text"}),
        Probe(_IN, {"text": "$unnamed_text"}),
        Probe(_IN, {"text": "$gone_text", "id": "$gone"}),
        Probe(_IN, {"documents": [{"text": f"{_OWN} 4.", "id": "$title"}, {"text": "$title"}]}),
        Probe(_IN, {"text": f"{_OWN} 5.", "session": "$session", "tags": ["$tag"]}),
        Probe(_IN, upload="$file"),
        Probe(f"{_IN}&id=$document/plain&title=$title", plain="Our own plain text."),
        Probe(_IN, lines='{"text": "Our own line.", "id": "$document/line"}\n'),
    ),
}

# Paths that the OpenAPI document leaves out, and what of them is looked for elsewhere.
UNDESCRIBED = {
    "/": "the console",
    "/console/{name}": "its files",
    "/openapi.json": "itself",
    "/mcp": "MCP",
    "/mcp/": "too",
}

# Parameters and fields of text that name nothing that a tenant could have.
NAMELESS = {
    "limit",
    "state",
    "passages",
    "steps",
    "memory",
    "wait",
    "scopes",
    "expires",
    "precision",
    "retention",
    "role",
    "type",
    "after",
    "before",
    "occurred_at",
    "expires_at",
    "events",
}

# What is asked: the same of both, because a memory is to answer by the words of a question.
QUESTIONS = {"question", "query", "content", "text", "prompt", "input"}
