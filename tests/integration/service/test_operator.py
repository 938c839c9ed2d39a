"""What the operator sees of a real service, and a tenant that is moved by its archive."""

from __future__ import annotations

import re

import httpx

from tests.integration.server import Server, ask, memorize, new_tenant, wait_for


def test_the_console_comes_with_all_its_files(server: Server) -> None:
    with server.client() as anybody:
        page = anybody.get("/")
        assert "default-src 'none'" in page.headers["content-security-policy"]
        files = re.findall(r'(?:src|href)="(console/[^"]+)"', page.text)
        assert len(files) > 8
        for file in files:
            assert anybody.get(f"/{file}").status_code == 200, file


def test_its_status_names_readers_and_what_waits(server: Server, operator: httpx.Client) -> None:
    with new_tenant(server, operator, "status") as tenant:
        memorize(tenant, "The raven is black.")
        found = operator.get("/v1/status").json()
        assert found["readers"]
        assert found["readers"][0]["slots"] == 4
        (state,) = [one for one in found["tenants"] if one["tenant"] == "status"]
        assert (state["waiting"]["chunks"], state["store_bytes"] > 0) == (0, True)
        assert tenant.get("/v1/status").status_code == 403


def test_a_tenant_moves_by_its_archive(server: Server, operator: httpx.Client) -> None:
    with new_tenant(server, operator, "moving") as tenant:
        memorize(tenant, "The raven is black.", id="raven")
        archive = tenant.get("/v1/memory/export?memory=true").content
        before = ask(tenant, "Which colour?", temperature=0)
    made = operator.post(
        "/v1/tenants/import?name=moved",
        content=archive,
        headers={"content-type": "application/x-tar"},
    )
    assert made.status_code == 201, made.text
    key = operator.post("/v1/tenants/moved/keys", json={"scopes": ["query"]}).json()
    with server.client(key["secret"]) as moved:
        wait_for(lambda: moved.get("/v1/memory").json()["waiting"] == 0)
        after = ask(moved, "Which colour?", temperature=0, min_step=made.json()["chunks"])
    assert (after["answer"], after["citations"]) == (before["answer"], before["citations"])
    revoked = operator.delete(f"/v1/tenants/moved/keys/{key['key']['id']}")
    assert revoked.json()["revoked"]
    with server.client(key["secret"]) as moved:
        assert moved.get("/v1/memory").status_code == 401
