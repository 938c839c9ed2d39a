"""What the operator sees and does by HTTP: keys of any tenant, the service's status, archives."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mplus_ray.services.api.deps import Limits
from tests.api_world import ApiWorld, bearer, serving, until
from tests.checkpoints import write_checkpoint
from tests.worlds import load_model

TAR = {"content-type": "application/x-tar"}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiWorld]:
    folder = tmp_path_factory.mktemp("operator")
    limits = Limits(upload_bytes=1 << 20, parse_seconds=20.0)
    with serving(load_model(folder / "checkpoint"), folder, limits=limits) as world:
        yield world


class TestKeys:
    def test_listed_revoked_and_rotated(self, api: ApiWorld) -> None:
        operator = bearer(api.operator)
        _, headers = api.tenant("keys of anna", "admin")
        url = "/v1/tenants/keys of anna/keys"
        made = api.client.post(url, json={"scopes": ["query"], "name": "web"}, headers=operator)
        secret, key = made.json()["secret"], made.json()["key"]
        listed = api.client.get(url, headers=operator).json()["keys"]
        theirs = api.client.get("/v1/keys", headers=headers).json()["keys"]
        assert [one["id"] for one in listed] == [one["id"] for one in theirs]
        assert key["id"] in [one["id"] for one in listed]
        turned = api.client.post(f"{url}/{key['id']}/rotate", headers=operator)
        assert turned.status_code == 201
        assert api.client.get("/v1/memory", headers=bearer(secret)).status_code == 401
        fresh = bearer(turned.json()["secret"])
        assert api.client.get("/v1/memory", headers=fresh).json()["tenant"] == "keys of anna"
        gone = api.client.delete(f"{url}/{turned.json()['key']['id']}", headers=operator)
        assert gone.json()["revoked"]
        assert api.client.get("/v1/memory", headers=fresh).status_code == 401

    def test_a_key_of_another_tenant_is_not_reached_by_a_wrong_name(self, api: ApiWorld) -> None:
        operator = bearer(api.operator)
        log, headers = api.tenant("owner")
        api.tenant("somebody else")
        (key,) = api.world.ledger.credentials.list(log)
        for name in ("somebody else", "nobody", "a%00b"):
            for method, rest in (("DELETE", ""), ("POST", "/rotate")):
                url = f"/v1/tenants/{name}/keys/{key.id}{rest}"
                assert api.client.request(method, url, headers=operator).status_code == 404
        assert api.client.get("/v1/memory", headers=headers).status_code == 200

    def test_a_fork_has_keys_and_none_is_called_so(self, api: ApiWorld) -> None:
        headers, operator = api.fresh(), bearer(api.operator)
        for name in ("keys", "a/keys", "keys/0badc0de"):
            refused = api.client.post("/v1/memory/fork", json={"name": name}, headers=headers)
            assert refused.status_code == 422
            assert "keys" in refused.text
        fork = api.client.post("/v1/memory/fork", json={"name": "draft"}, headers=headers).json()
        keys = api.client.get(f"/v1/tenants/{fork['tenant']}/keys", headers=operator).json()
        assert [one["id"] for one in keys["keys"]] == [fork["key"]["id"]]


class TestStatus:
    def test_what_is_there(self, api: ApiWorld) -> None:
        operator = bearer(api.operator)
        _, headers = api.tenant("busy")
        api.memorize(headers, "The owl is brown.")
        found = api.client.get("/v1/status", headers=operator).json()
        assert found["model"] == "mplus-test"
        (busy,) = [one for one in found["tenants"] if one["tenant"] == "busy"]
        assert (busy["waiting"]["chunks"], busy["failures"], busy["cold"]) == (0, 0, False)
        assert 0 < busy["store_bytes"] <= found["store_bytes"]
        (reader,) = found["readers"]
        assert reader["slots"] > 0

    def test_what_waits_and_who_holds_it(self, tmp_path: Path) -> None:
        with serving(load_model(tmp_path / "checkpoint"), tmp_path, writer=False) as api:
            operator = bearer(api.operator)
            log, headers = api.tenant("anna")
            sent = {"text": "The owl is brown."}
            assert api.client.post("/v1/documents", json=sent, headers=headers).status_code == 202
            with api.world.engine.lease(log):
                found = api.client.get("/v1/status", headers=operator).json()
            assert found["backlog"]["chunks"] == found["tenants"][0]["waiting"]["chunks"] > 0
            assert found["backlog"]["tenants"] == 1
            assert found["backlog"]["oldest_seconds"] > 0
            (writer,) = found["writers"]
            assert ([held["tenant"] for held in writer["tenants"]], writer["gone"]) == (
                ["anna"],
                False,
            )
            assert writer["tenants"][0]["expires_in"] > 0


class TestArchives:
    @pytest.mark.parametrize("memory", ["false", "true"])
    def test_a_tenant_comes_back_under_another_name(self, api: ApiWorld, memory: str) -> None:
        operator = bearer(api.operator)
        _, headers = api.tenant(f"there {memory}", threshold=0.25)
        api.memorize(headers, "The owl is brown.", id="owl")
        taken = api.client.get(f"/v1/memory/export?memory={memory}", headers=headers)
        name = f"back {memory}"
        url = f"/v1/tenants/import?name={name}"
        made = api.client.post(url, content=taken.content, headers=operator | TAR)
        assert made.status_code == 201, made.text
        tenant = made.json()
        assert (tenant["name"], tenant["documents"]) == (name, 1)
        assert tenant["settings"]["threshold"] == 0.25

        def step() -> int:
            shown = api.client.get(f"/v1/tenants/{name}", headers=operator).json()
            return int(shown["step"])

        assert until(step) <= tenant["chunks"]  # though nobody asks it anything
        again = api.headers(api.world.ledger.tenant(name))
        answer = api.ask(again, "Who?", min_step=tenant["chunks"])
        assert answer.status_code == 200, answer.text
        assert {one["document_id"] for one in answer.json()["citations"]} == {"owl"}
        conflict = api.client.post(url, content=taken.content, headers=operator | TAR)
        assert conflict.status_code == 409
        assert "already" in conflict.json()["detail"]

    @pytest.mark.parametrize(
        ("content", "kind", "status", "said"),
        [
            (b"no tar at all" * 100, TAR["content-type"], 422, "the archive is not a whole"),
            (b"", TAR["content-type"], 422, "the archive is not a whole"),
            (b"{}", "application/json", 415, "application/x-tar"),
            (b"x" * ((1 << 20) + 1), TAR["content-type"], 413, "larger"),
        ],
        ids=["no tar", "nothing", "json", "too large"],
    )
    def test_what_is_none_is_refused(
        self, api: ApiWorld, content: bytes, kind: str, status: int, said: str
    ) -> None:
        before = len(api.client.get("/v1/tenants", headers=bearer(api.operator)).json()["tenants"])
        headers = bearer(api.operator) | {"content-type": kind}
        answer = api.client.post("/v1/tenants/import", content=content, headers=headers)
        assert answer.status_code == status, answer.text
        assert said in answer.json()["detail"]
        assert str(api.deps.spool) not in answer.text
        assert not list((api.deps.spool or Path()).glob("mplus-*.tar"))
        after = api.client.get("/v1/tenants", headers=bearer(api.operator)).json()["tenants"]
        assert len(after) == before

    def test_names_of_forks_and_other_checkpoints_are_refused(
        self, api: ApiWorld, tmp_path: Path
    ) -> None:
        operator = bearer(api.operator)
        _, headers = api.tenant("root")
        api.memorize(headers, "The owl is brown.")
        taken = api.client.get("/v1/memory/export", headers=headers).content
        named = api.client.post(
            "/v1/tenants/import?name=a/b", content=taken, headers=operator | TAR
        )
        assert (named.status_code, "slash" in named.text) == (422, True)
        write_checkpoint(tmp_path / "checkpoint", seed=1, retrieval="blocks")
        with serving(load_model(tmp_path / "checkpoint"), tmp_path, writer=False) as other:
            sent = other.client.post(
                "/v1/tenants/import", content=taken, headers=bearer(other.operator) | TAR
            )
            assert sent.status_code == 409
            assert "checkpoint" in sent.json()["detail"]
