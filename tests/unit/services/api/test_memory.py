"""A memory's rows and moments, its keys, and what the operator manages, over HTTP."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from mplus_ray.model.errors import StorageError
from mplus_ray.pipeline.archive.format import Archive
from mplus_ray.pipeline.archive.importer import import_tenant
from tests.api_world import ApiWorld, bearer, serving, until
from tests.worlds import load_model

TEXT = " ".join(f"Sentence number {number} says something." for number in range(30))


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiWorld]:
    folder = tmp_path_factory.mktemp("memory")
    with serving(load_model(folder / "checkpoint"), folder) as world:
        yield world


@pytest.fixture(scope="module")
def full(api: ApiWorld) -> dict[str, str]:
    """A tenant whose pool has overflowed."""
    headers = api.fresh(bytes_per_step=800)
    api.memorize(headers, TEXT, id="long")
    return headers


class TestRows:
    def test_what_is_where(self, api: ApiWorld, full: dict[str, str]) -> None:
        memory = api.client.get("/v1/memory", headers=full).json()
        written = memory["step"] * memory["layers"] * memory["rows_per_step"]
        rows = memory["rows"]
        assert rows["pool"] == memory["layers"] * memory["pool_rows"]
        assert rows["long_term"] > 0
        assert sum(rows.values()) == written
        assert memory["bytes"] == {name: count * 100 for name, count in rows.items()}
        assert (memory["documents"], memory["waiting"], memory["model"]) == (1, 0, "mplus-test")
        assert memory["scopes"] == ["admin", "ingest", "query"]
        assert memory["limits"]["concurrent_questions"] == 32
        assert memory["quotas"]["max_documents"] is None

    @pytest.mark.parametrize("steps", [1, 7, 2000])
    def test_a_map_counts_the_same_rows(
        self, api: ApiWorld, full: dict[str, str], steps: int
    ) -> None:
        memory = api.client.get("/v1/memory", headers=full).json()
        drawn = api.client.get(f"/v1/memory/map?steps={steps}", headers=full).json()
        assert drawn["buckets"] <= steps
        assert (drawn["step"], drawn["layers"]) == (memory["step"], memory["layers"])
        for name, tier in (("pool", "pool"), ("long_term", "long_term"), ("gone", "forgotten")):
            assert len(drawn[name]) == memory["layers"]
            assert sum(map(sum, drawn[name])) == memory["rows"][tier]
        last = drawn["step"] - (drawn["buckets"] - 1) * drawn["bucket"]
        for layer in range(drawn["layers"]):
            parts = [drawn[name][layer] for name in ("pool", "long_term", "gone")]
            sums = [sum(bucket) for bucket in zip(*parts, strict=True)]
            each = drawn["rows_per_step"]
            assert sums == [drawn["bucket"] * each] * (drawn["buckets"] - 1) + [last * each]

    def test_an_empty_memory(self, api: ApiWorld) -> None:
        headers = api.fresh()
        assert api.client.get("/v1/memory", headers=headers).json()["rows"]["pool"] == 0
        assert api.client.get("/v1/memory/map", headers=headers).json()["buckets"] == 0

    def test_so_many_buckets(self, api: ApiWorld) -> None:
        assert api.client.get("/v1/memory/map?steps=0", headers=api.fresh()).status_code == 422


class TestSnapshots:
    def test_taken_listed_and_deleted(self, api: ApiWorld, full: dict[str, str]) -> None:
        url = "/v1/memory/snapshot"
        answer = api.client.post(url, json={"name": "early", "step": 3}, headers=full)
        assert (answer.status_code, answer.json()["step"]) == (201, 3)
        api.client.post(url, json={"name": "a/b c"}, headers=full)
        listed = api.client.get("/v1/memory/snapshots", headers=full).json()["snapshots"]
        assert [one["name"] for one in listed] == ["early", "a/b c"]
        for name in ("early", "a/b c"):
            gone = api.client.delete(f"/v1/memory/snapshots/{name}", headers=full)
            assert (gone.status_code, gone.content) == (204, b"")
        assert api.client.delete("/v1/memory/snapshots/early", headers=full).status_code == 404

    @pytest.mark.parametrize(
        "body", [{}, {"name": ""}, {"name": "a\nb"}, {"name": "x", "step": 99999}]
    )
    def test_impossible_ones(self, api: ApiWorld, full: dict[str, str], body: Any) -> None:
        assert api.client.post("/v1/memory/snapshot", json=body, headers=full).status_code == 422


class TestForks:
    @pytest.mark.parametrize("step", [None, 5])
    def test_a_fork_has_a_key_of_its_own(
        self, api: ApiWorld, full: dict[str, str], step: int | None
    ) -> None:
        name = f"fork-{step}"
        answer = api.client.post("/v1/memory/fork", json={"name": name, "step": step}, headers=full)
        assert answer.status_code == 201
        made = answer.json()
        assert made["tenant"] == f"{api.log(full).tenant.name}/{name}"
        assert made["key"]["scopes"] == ["admin", "ingest", "query"]
        theirs = bearer(made["secret"])
        wanted = 5 if step else api.client.get("/v1/memory", headers=full).json()["step"]
        memory = until(lambda: _at(api, theirs, wanted))
        assert memory["tenant"] == made["tenant"]
        assert api.ask(theirs, "Which?").json()["citations"]
        api.memorize(theirs, "Only the fork knows this.", id="new")
        assert api.client.get("/v1/documents/new", headers=full).status_code == 404

    def test_a_name_that_is_taken(self, api: ApiWorld, full: dict[str, str]) -> None:
        for status in (201, 422):
            answer = api.client.post("/v1/memory/fork", json={"name": "twice"}, headers=full)
            assert answer.status_code == status

    def test_names_of_others_are_free(self, api: ApiWorld, full: dict[str, str]) -> None:
        other = api.log(api.fresh()).tenant.name
        answer = api.client.post("/v1/memory/fork", json={"name": other}, headers=full)
        assert answer.status_code == 201


class TestExport:
    @pytest.mark.parametrize("memory", [False, True])
    def test_an_archive_can_be_imported(
        self, api: ApiWorld, full: dict[str, str], tmp_path: Path, memory: bool
    ) -> None:
        answer = api.client.get(f"/v1/memory/export?memory={memory}", headers=full)
        assert answer.headers["content-type"] == "application/x-tar"
        with tarfile.open(fileobj=io.BytesIO(answer.content)) as tar:
            assert tar.getnames()[0] == "manifest.json"
        path = tmp_path / "memory.tar"
        path.write_bytes(answer.content)
        with Archive(path) as archive:
            model = api.world.model if memory else None
            log = import_tenant(api.world.engine, archive, f"imported-{memory}", model)
        assert log.text("long") == TEXT
        assert not list(api.world.data.glob("mplus-*"))

    def test_what_is_being_forgotten_is_not_exported(self, api: ApiWorld) -> None:
        headers = api.fresh()
        api.memorize(headers, "The raven is black.", id="bird")
        log = api.log(headers)
        with api.world.engine.lease(log):  # so that nobody carries it out
            log.forgets.request("bird")
            answer = api.client.get("/v1/memory/export", headers=headers)
        assert answer.status_code == 422


class TestKeys:
    def test_made_used_rotated_and_revoked(self, api: ApiWorld) -> None:
        headers = api.fresh()
        sent = {"scopes": ["query"], "name": "website", "expires": "2999-01-01T00:00:00Z"}
        made = api.client.post("/v1/keys", json=sent, headers=headers)
        assert made.status_code == 201
        key, secret = made.json()["key"], made.json()["secret"]
        assert (key["name"], key["scopes"]) == ("website", ["query"])
        assert key["expires"] == "2999-01-01T00:00:00+00:00"
        assert api.ask(bearer(secret), "Who?").status_code == 200

        listed = api.client.get("/v1/keys", headers=headers)
        assert len(listed.json()["keys"]) == 2
        assert secret not in listed.text

        rotated = api.client.post(f"/v1/keys/{key['id']}/rotate", headers=headers).json()
        assert api.ask(bearer(secret), "Who?").status_code == 401
        assert api.ask(bearer(rotated["secret"]), "Who?").status_code == 200
        gone = api.client.delete(f"/v1/keys/{rotated['key']['id']}", headers=headers)
        assert gone.json()["revoked"] is not None
        assert api.ask(bearer(rotated["secret"]), "Who?").status_code == 401

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"scopes": []},
            {"scopes": ["operator"]},
            {"scopes": ["query"], "expires": "2000-01-01T00:00:00Z"},
            {"scopes": ["query"], "expires": "2999-01-01T00:00:00"},
            {"scopes": ["query"], "name": "x" * 101},
            {"scopes": ["query"], "tenant": "other"},
        ],
    )
    def test_impossible_ones(self, api: ApiWorld, body: Any) -> None:
        assert api.client.post("/v1/keys", json=body, headers=api.fresh()).status_code == 422

    def test_unknown_ones(self, api: ApiWorld) -> None:
        headers = api.fresh()
        assert api.client.delete("/v1/keys/00000000", headers=headers).status_code == 404
        assert api.client.post("/v1/keys/00000000/rotate", headers=headers).status_code == 404


class TestTenants:
    def test_made_changed_and_deleted(self, api: ApiWorld) -> None:
        operator = bearer(api.operator)
        sent = {"name": "carla", "max_documents": 5, "precision": "int8", "threshold": 0.5}
        made = api.client.post("/v1/tenants", json=sent, headers=operator)
        assert made.status_code == 201
        assert (made.json()["precision"], made.json()["settings"]["max_documents"]) == ("int8", 5)
        assert made.json()["settings"]["threshold"] == 0.5
        assert api.client.post("/v1/tenants", json=sent, headers=operator).status_code == 409

        url = "/v1/tenants/carla"
        scopes = {"scopes": ["query", "ingest"]}
        key = api.client.post(f"{url}/keys", json=scopes, headers=operator).json()
        headers = bearer(key["secret"])
        api.memorize(headers, "The raven is black.")
        assert api.ask(headers, "Who?").status_code == 200
        quotas = {"session": {"max_documents": 3, "max_bytes": None}}
        changed = api.client.patch(url, json={"attribute_quotas": quotas}, headers=operator)
        assert changed.json()["settings"]["attribute_quotas"] == quotas
        impossible: list[dict[str, Any]] = [
            {"user": {}},
            {"session": {"max_documents": -1}},
            {"tag": {"most": 1}},
        ]
        for wrong in impossible:
            refused = api.client.patch(url, json={"attribute_quotas": wrong}, headers=operator)
            assert refused.status_code == 422
        assert (
            api.client.get(url, headers=operator).json()["settings"] == changed.json()["settings"]
        )
        changed = api.client.patch(url, json={"max_documents": None}, headers=operator).json()
        assert changed["settings"]["max_documents"] is None
        assert changed["settings"]["threshold"] == 0.5
        assert changed["documents"] == 1
        names = [
            t["name"] for t in api.client.get("/v1/tenants", headers=operator).json()["tenants"]
        ]
        assert "carla" in names

        tenant = api.log(headers).tenant.id
        assert api.client.delete(url, headers=operator).status_code == 204
        assert api.client.get(url, headers=operator).status_code == 404
        assert api.ask(headers, "Who?").status_code == 401
        assert not [name for name in api.world.names() if name.startswith(tenant)]

    @pytest.mark.parametrize(
        "body", [{}, {"name": ""}, {"name": "a/b"}, {"name": "a\nb"}, {"name": "a", "seed": -1}]
    )
    def test_impossible_ones(self, api: ApiWorld, body: Any) -> None:
        answer = api.client.post("/v1/tenants", json=body, headers=bearer(api.operator))
        assert answer.status_code == 422

    def test_forks_are_managed_too(self, api: ApiWorld, full: dict[str, str]) -> None:
        made = api.client.post("/v1/memory/fork", json={"name": "mine"}, headers=full).json()
        url = f"/v1/tenants/{made['tenant']}"
        operator = bearer(api.operator)
        assert api.client.get(url, headers=operator).json()["name"] == made["tenant"]
        key = api.client.post(f"{url}/keys", json={"scopes": ["query"]}, headers=operator)
        assert key.status_code == 201

    def test_unknown_ones(self, api: ApiWorld) -> None:
        operator = bearer(api.operator)
        for method, url in (
            ("GET", "/v1/tenants/nobody"),
            ("DELETE", "/v1/tenants/nobody"),
            ("GET", "/v1/tenants/a%00b"),
        ):
            assert api.client.request(method, url, headers=operator).status_code == 404


class TestHealth:
    def test_alive_and_ready(self, api: ApiWorld) -> None:
        for path in ("/healthz", "/readyz"):
            assert api.client.get(path).json() == {"status": "ok"}

    def test_not_ready_without_its_ledger(
        self, api: ApiWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail() -> bool:
            raise StorageError("the ledger at sqlite:///secret failed")

        monkeypatch.setattr(api.world.ledger.credentials, "any", fail)
        answer = api.client.get("/readyz")
        assert answer.status_code == 503
        assert "secret" not in answer.text
        assert api.client.get("/healthz").status_code == 200

    def test_metrics_name_nobody(self, api: ApiWorld, full: dict[str, str]) -> None:
        api.ask(full, "Who?")
        answer = api.client.get("/metrics", headers=bearer(api.operator))
        assert answer.status_code == 200
        families = {f.name: f for f in text_string_to_metric_families(answer.text)}
        for name in ("mplus_http_requests", "mplus_first_token_seconds", "mplus_tenants"):
            assert families[name].samples
        labels = {label for f in families.values() for s in f.samples for label in s.labels}
        assert labels <= {"route", "method", "status", "le", "limit", "state", "outcome"}
        for told in (api.log(full).tenant.id, api.log(full).tenant.name, "long"):
            assert f'"{told}"' not in answer.text
        routes = {s.labels["route"] for s in families["mplus_http_requests"].samples}
        assert "/v1/query" in routes


def _at(api: ApiWorld, headers: dict[str, str], step: int) -> Any:
    memory = api.client.get("/v1/memory", headers=headers).json()
    return memory if memory["step"] == step else None
