"""Who gets in, what they learn of others, and what every response has in common."""

from __future__ import annotations

import itertools
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import validate
from prometheus_client import CollectorRegistry

from mplus_ray.model.errors import MPlusError, StorageError
from mplus_ray.services.api import console
from mplus_ray.services.api.metrics import ApiMetrics
from mplus_ray.services.api.problems.openai_paths import speaks_openai
from mplus_ray.services.logs import JsonFormatter
from tests.api_world import ApiWorld, bearer, serving
from tests.paths import ROOT
from tests.worlds import load_model

PUBLIC = {("get", "/healthz"), ("get", "/readyz")}
CANARY = "Zanzibarquux"

# What a tenant can ask of ids that it does not have: (method, path, body).
FOREIGN = [
    ("GET", "/v1/documents/{document}", None),
    ("DELETE", "/v1/documents/{document}", None),
    ("GET", "/v1/jobs/{job}", None),
    ("DELETE", "/v1/keys/{key}", None),
    ("POST", "/v1/keys/{key}/rotate", None),
    ("DELETE", "/v1/memory/snapshots/{snapshot}", None),
    ("POST", "/v1/query", {"question": "Who?", "snapshot": "{snapshot}"}),
    ("POST", "/v1/search", {"query": "Who?", "snapshot": "{snapshot}"}),
    ("GET", "/v1/documents?cursor={cursor}", None),
    ("GET", "/v1/jobs?cursor={job}", None),
]

# (scope, method, path, body): what each scope is good for.
USES = [
    ("query", "POST", "/v1/query", {"question": "Who?", "max_tokens": 1}),
    ("query", "POST", "/v1/search", {"query": "Who?"}),
    (
        "query",
        "POST",
        "/v1/chat/completions",
        {"model": "mplus-test", "messages": [{"role": "user", "content": "?"}], "max_tokens": 1},
    ),
    ("query", "GET", "/v1/models", None),
    ("query ingest", "GET", "/v1/documents", None),
    ("query ingest", "GET", "/v1/jobs", None),
    ("ingest", "POST", "/v1/documents", {"text": "The owl is brown."}),
    ("ingest", "DELETE", "/v1/documents/none", None),
    ("query ingest admin", "GET", "/v1/memory", None),
    ("query ingest admin", "GET", "/v1/memory/map", None),
    ("query ingest admin", "GET", "/v1/memory/snapshots", None),
    ("ingest admin", "POST", "/v1/memory/snapshot", {"name": "now"}),
    ("ingest admin", "DELETE", "/v1/memory/snapshots/none", None),
    ("admin", "POST", "/v1/memory/fork", {"name": "copy"}),
    ("admin", "GET", "/v1/memory/export", None),
    ("admin", "GET", "/v1/keys", None),
    ("admin", "POST", "/v1/keys", {"scopes": ["query"]}),
    ("admin", "DELETE", "/v1/keys/00000000", None),
    ("operator", "GET", "/v1/tenants", None),
    ("operator", "DELETE", "/v1/tenants/nobody", None),
    ("operator", "GET", "/v1/tenants/nobody/keys", None),
    ("operator", "DELETE", "/v1/tenants/nobody/keys/00000000", None),
    ("operator", "GET", "/v1/status", None),
    ("operator", "GET", "/metrics", None),
]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiWorld]:
    folder = tmp_path_factory.mktemp("doors")
    with serving(load_model(folder / "checkpoint"), folder) as world:
        yield world


@pytest.fixture(scope="module")
def described(api: ApiWorld) -> dict[str, Any]:
    found: dict[str, Any] = api.client.get("/openapi.json").json()
    return found


def operations(described: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def without_ids(body: str) -> dict[str, Any]:
    """A problem without what is different in every response."""
    problem: dict[str, Any] = json.loads(body)
    problem.pop("request_id")
    return problem


class TestOpenApi:
    def test_it_is_valid(self, described: dict[str, Any]) -> None:
        validate(described)

    def test_all_but_health_needs_a_key(self, api: ApiWorld, described: dict[str, Any]) -> None:
        for method, path, operation in operations(described):
            url = re.sub(r"{\w+}", "x", path)
            answer = api.client.request(method, url, content=b"{not json")
            if (method, path) in PUBLIC:
                assert answer.status_code == 200
                continue
            assert answer.status_code == 401, (method, path)
            assert operation["security"], (method, path)
            assert answer.headers["www-authenticate"].startswith("Bearer")

    def test_every_operation_declares_its_problems(self, described: dict[str, Any]) -> None:
        for _, path, operation in operations(described):
            for status in ("401", "403", "422", "500", "503"):
                (kind,) = operation["responses"][status]["content"]
                openai = "openai" in operation["tags"]
                assert openai == (path.startswith("/v1/") and speaks_openai(path)), path
                assert kind == ("application/json" if openai else "application/problem+json")

    def test_every_json_has_a_schema_and_most_an_example(self, described: dict[str, Any]) -> None:
        schemas = described["components"]["schemas"]
        assert sum("examples" in schema for schema in schemas.values()) > 20
        for _, path, operation in operations(described):
            assert operation["summary"], path
            assert operation["description"], path


class TestKeys:
    @pytest.mark.parametrize(
        "header",
        [
            "",
            "Bearer",
            "Bearer ",
            "Bearer wrong",
            "Basic bXBsdXM=",
            "Bearer mplus_00000000_" + "A" * 43,
            "Bearer mplus_00000000_" + "A" * 4300,
            "Bearer ümlaut".encode(),
        ],
    )
    def test_every_bad_key_has_the_same_answer(self, api: ApiWorld, header: Any) -> None:
        plain = api.client.get("/v1/memory")
        answer = api.client.get("/v1/memory", headers={"authorization": header})
        assert answer.status_code == plain.status_code == 401
        assert without_ids(answer.text) == without_ids(plain.text)

    def test_so_have_keys_that_were_good(self, api: ApiWorld) -> None:
        plain = without_ids(api.client.get("/v1/memory").text)
        headers = api.fresh()
        log, credentials = api.log(headers), api.world.ledger.credentials
        revoked, secret = credentials.create(log, ["query"])
        credentials.revoke(log, revoked.id)
        assert without_ids(api.client.get("/v1/memory", headers=bearer(secret)).text) == plain
        stolen = headers["authorization"][:-1] + "-"
        answer = api.client.get("/v1/memory", headers={"authorization": stolen})
        assert without_ids(answer.text) == plain
        api.world.ledger.delete_tenant(log.tenant.name)
        assert without_ids(api.client.get("/v1/memory", headers=headers).text) == plain

    def test_the_word_bearer_has_no_case(self, api: ApiWorld) -> None:
        secret = api.fresh()["authorization"].removeprefix("Bearer ")
        answer = api.client.get("/v1/memory", headers={"authorization": f"bearer {secret}"})
        assert answer.status_code == 200

    @pytest.mark.parametrize(("scopes", "method", "path", "body"), USES)
    def test_a_scope_is_needed_and_enough(
        self, api: ApiWorld, scopes: str, method: str, path: str, body: Any
    ) -> None:
        for scope in ("query", "ingest", "admin", "operator"):
            headers = bearer(api.operator) if scope == "operator" else api.fresh(scope)
            answer = api.client.request(method, path, json=body, headers=headers)
            allowed = scope in scopes.split()
            assert (answer.status_code == 403) != allowed, (scope, answer.text)
            assert answer.status_code < 500


class TestIsolation:
    @pytest.fixture(scope="class")
    @classmethod
    def theirs(cls, api: ApiWorld) -> dict[str, str]:
        """Ids of a tenant that has everything."""
        headers = api.fresh()
        text = f"{CANARY} is what nobody else may read."
        taken = api.memorize(headers, text, id=f"secret/{CANARY}")
        api.memorize(headers, "Another one.", id="other")
        api.client.post("/v1/memory/snapshot", json={"name": CANARY}, headers=headers)
        page = api.client.get("/v1/documents?limit=1", headers=headers).json()
        return {
            **headers,
            "document": taken["id"],
            "job": taken["job_id"],
            "key": api.client.get("/v1/keys", headers=headers).json()["keys"][0]["id"],
            "snapshot": CANARY,
            "cursor": page["next_cursor"],
        }

    @pytest.mark.parametrize(("method", "path", "body"), FOREIGN)
    def test_what_is_anothers_is_as_if_it_were_not(
        self, api: ApiWorld, theirs: dict[str, str], method: str, path: str, body: Any
    ) -> None:
        ids = {name: value for name, value in theirs.items() if name != "authorization"}
        nobodys = {**ids, "job": "0" * 32, "key": "0" * 8, "document": "secret/none"}
        nobodys |= {"snapshot": "none", "cursor": f"{'0' * 32}{ids['cursor'][32:]}"}
        said = []
        for named in (ids, nobodys):
            sent = json.loads(json.dumps(body).replace("{snapshot}", named["snapshot"]))
            url = path.format(**named)
            answer = api.client.request(method, url, json=sent, headers=api.fresh())
            text = answer.text
            for value in named.values():  # the id itself is what was asked for
                text = text.replace(value, "ID")
            said.append((answer.status_code, re.sub(r'"request_id":"\w+"', "", text)))
        assert said[0] == said[1]
        assert said[0][0] in (200, 404, 422)

    def test_nothing_of_it_is_listed_or_told(self, api: ApiWorld, theirs: dict[str, str]) -> None:
        ours = api.fresh()
        api.memorize(ours, "Our own document.", id="own")
        for path in (
            "/v1/documents",
            f"/v1/documents?q={CANARY}",
            "/v1/jobs",
            "/v1/keys",
            "/v1/memory",
            "/v1/memory/map",
            "/v1/memory/snapshots",
            "/v1/memory/export?memory=true",
        ):
            answer = api.client.get(path, headers=ours)
            assert answer.status_code == 200
            assert CANARY.encode() not in answer.content
            for name in ("job", "key"):
                assert theirs[name].encode() not in answer.content
        told = api.ask(ours, f"What is {CANARY}?", citations=20).json()
        assert {each["document_id"] for each in told["citations"]} == {"own"}

    def test_the_same_id_is_another_document(self, api: ApiWorld, theirs: dict[str, str]) -> None:
        ours = api.fresh()
        taken = api.memorize(ours, "Ours.", id=theirs["document"])
        assert not taken["documents"][0]["known"]
        assert taken["documents"][0]["like"] is None
        api.client.delete(taken["status_url"], headers=ours)
        headers = {"authorization": theirs["authorization"]}
        shown = api.client.get(taken["status_url"], headers=headers).json()
        assert shown["state"] == "memorized"


class TestProblems:
    @pytest.mark.parametrize(
        ("method", "path", "status"),
        [
            ("GET", "/v1/documents/none/nothing", 404),
            ("GET", "/v1/query/nothing", 404),
            ("GET", "/v1/documents/", 404),
            ("PUT", "/v1/query", 405),
            ("GET", "/v1/query", 405),
            ("POST", "/healthz", 405),
            ("BREW", "/healthz", 405),
            ("GET", "/../../etc/passwd", 404),
            ("GET", "/console.py", 404),
            ("GET", "/console/nothing.js", 404),
        ],
    )
    def test_every_error_is_a_problem(
        self, api: ApiWorld, method: str, path: str, status: int
    ) -> None:
        answer = api.client.request(method, path, headers=api.fresh())
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
        problem = answer.json()
        assert set(problem) == {"type", "title", "status", "detail", "instance", "request_id"}
        assert problem["status"] == status
        assert problem["type"].startswith("urn:mplus:problem:")
        assert problem["request_id"] == answer.headers["x-request-id"]
        if status == 405:
            assert answer.headers["allow"]

    def test_what_was_sent_is_not_repeated(self, api: ApiWorld) -> None:
        sent = {"question": {"secret": "hunter2"}, "max_tokens": "hunter2"}
        answer = api.client.post("/v1/query", json=sent, headers=api.fresh())
        assert answer.status_code == 422
        assert {each["field"] for each in answer.json()["errors"]} == {
            "body.question",
            "body.max_tokens",
        }
        assert "hunter2" not in answer.text

    @pytest.mark.parametrize(
        ("error", "status"),
        [
            (KeyError("hunter2"), 500),
            (MPlusError("hunter2"), 500),
            (StorageError("the ledger at sqlite:////home/hunter2 failed"), 503),
        ],
    )
    def test_what_nobody_foresaw_is_said_without_its_text(
        self,
        api: ApiWorld,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
        error: Exception,
        status: int,
    ) -> None:
        def fail(*_: Any) -> Any:
            raise error

        monkeypatch.setattr("mplus_ray.services.api.routes.memory.read_tenant_stats", fail)
        answer = api.client.get("/v1/memory", headers=api.fresh())
        assert answer.status_code == status
        assert "hunter2" not in answer.text
        assert "Traceback" not in answer.text
        if isinstance(error, KeyError):
            (record,) = [each for each in caplog.records if each.levelno == logging.ERROR]
            line = json.loads(JsonFormatter().format(record))
            assert line["request_id"] == answer.headers["x-request-id"]
            assert "hunter2" not in json.dumps(line)

    def test_a_request_id_may_be_given(self, api: ApiWorld) -> None:
        for given, kept in (("abc-123", True), ("a\tb", False), ("x" * 65, False)):
            answer = api.client.get("/healthz", headers={"x-request-id": given})
            assert (answer.headers["x-request-id"] == given) is kept


class TestHead:
    @pytest.mark.parametrize("path", ["/healthz", "/", "/openapi.json", "/v1/memory", "/nothing"])
    def test_it_is_answered_like_get(self, api: ApiWorld, path: str) -> None:
        headers = api.fresh()
        wanted = api.client.get(path, headers=headers)
        answer = api.client.head(path, headers=headers)
        assert answer.status_code == wanted.status_code
        assert answer.content == b""
        assert answer.headers["content-type"] == wanted.headers["content-type"]

    def test_a_body_that_is_made_bit_by_bit_is_not_made(self, api: ApiWorld) -> None:
        headers = api.fresh()
        api.memorize(headers, "The owl is brown.", id="owl")
        answer = api.client.head("/v1/documents/owl", headers=headers)
        assert (answer.status_code, answer.content) == (200, b"")

    def test_what_only_takes_post_is_refused(self, api: ApiWorld) -> None:
        assert api.client.head("/v1/query", headers=api.fresh()).status_code == 405


class TestHeaders:
    @pytest.mark.parametrize("path", ["/", "/healthz", "/v1/memory", "/nothing", "/openapi.json"])
    def test_on_everything(self, api: ApiWorld, path: str) -> None:
        headers = api.client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["x-request-id"]

    def test_no_other_site_may_read(self, api: ApiWorld) -> None:
        sent = {"origin": "https://evil.example", "access-control-request-method": "POST"}
        for method in ("GET", "OPTIONS"):
            answer = api.client.request(method, "/v1/memory", headers=sent)
            assert not [name for name in answer.headers if name.startswith("access-control")]

    def test_what_is_secret_is_not_kept_by_anybody(self, api: ApiWorld) -> None:
        assert (
            api.client.get("/v1/keys", headers=api.fresh()).headers["cache-control"] == "no-store"
        )


class TestConsole:
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "index.html").write_text("<!doctype html>")
        (tmp_path / "start").mkdir()
        (tmp_path / "start" / "console.js").write_text("'use strict'")
        (tmp_path / "notes.txt").write_text("not for anybody")
        monkeypatch.setattr(console, "FOLDER", tmp_path)

    def test_its_files(self, api: ApiWorld) -> None:
        page = api.client.get("/")
        assert page.headers["content-type"].startswith("text/html")
        policy = page.headers["content-security-policy"]
        assert "script-src 'self'" in policy
        assert "unsafe" not in policy
        script = api.client.get("/console/start/console.js")
        assert script.headers["content-type"].startswith("text/javascript")

    @pytest.mark.parametrize(
        "name", ["notes.txt", "gone.js", "start/..%2fconsole.js", "start", "", ".js"]
    )
    def test_nothing_else(self, api: ApiWorld, name: str) -> None:
        assert api.client.get(f"/console/{name}").status_code == 404

    def test_without_a_console_there_is_none(
        self, api: ApiWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(console, "FOLDER", tmp_path / "none")
        answer = api.client.get("/")
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"


def test_logs_have_no_text_and_no_keys(api: ApiWorld, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "mplus_ray")
    headers = api.fresh()
    secret = headers["authorization"].removeprefix("Bearer ")
    taken = api.memorize(headers, f"{CANARY} sings.", id="hunter2")
    api.ask(headers, f"Does {CANARY} sing?")
    api.client.get(f"/v1/documents?q={CANARY}", headers=headers)
    api.client.get(taken["status_url"], headers=headers)
    api.client.post("/v1/query", json={"question": [CANARY]}, headers=headers)
    ours = [record for record in caplog.records if record.name.startswith("mplus_ray.services")]
    lines = [json.loads(JsonFormatter().format(record)) for record in ours]
    assert len(lines) == 5
    tenant = api.log(headers).tenant.id
    assert {line["tenant"] for line in lines} == {tenant}
    assert {line["route"] for line in lines} == {
        "/v1/documents",
        "/v1/documents/{document_id}",
        "/v1/query",
    }
    written = json.dumps(lines)
    for told in (CANARY, secret, "hunter2", "sings"):
        assert told not in written


def test_the_routes_of_two_methods_do_not_hide_each_other(described: dict[str, Any]) -> None:
    pairs = [(method, path) for method, path, _ in operations(described)]
    assert all(a != b for a, b in itertools.combinations(pairs, 2))


def test_every_metric_of_the_api_is_documented() -> None:
    registry = CollectorRegistry()
    ApiMetrics(registry)
    text = (ROOT / "docs" / "API.md").read_text("utf-8")
    for family in registry.collect():
        name = family.name + ("_total" if family.type == "counter" else "")
        assert f"`{name}`" in text, name
