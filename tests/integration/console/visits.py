"""Visits to the console, a plugin: `tests.integration.console.visits`. PYTEST_DONT_REWRITE"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from mplus_ray.pipeline.ledger.tenant_log import TenantLog
from tests.api_world import ApiWorld, serving
from tests.integration.console.browser import Browser, missing, opened
from tests.readers import load

NEEDS_BROWSER = [
    pytest.mark.skipif(missing() is not None, reason=str(missing())),
    pytest.mark.timeout(300),
]
ASKED = "Who says what?"


@dataclass(frozen=True)
class Site:
    """The service of a module's tests; each test has a tenant of its own."""

    url: str
    world: ApiWorld

    def key(self, log: TenantLog, *scopes: str) -> str:
        return self.world.headers(log, *scopes)["authorization"].removeprefix("Bearer ")

    def get(self, key: str, path: str) -> Any:
        headers = {"Authorization": f"Bearer {key}"}
        return httpx.get(self.url + path, headers=headers).raise_for_status().json()


@dataclass(frozen=True)
class Visit:
    """A tab of somebody who has signed in."""

    browser: Browser
    site: Site
    log: TenantLog
    key: str

    def upload(self, *names: str) -> None:
        """Files with some words in them, in one request and not by the console."""
        files = [("files", (name, f"The fox in {name} is red.".encode())) for name in names]
        headers = {"Authorization": f"Bearer {self.key}"}
        answer = self.site.world.client.post("/v1/documents", files=files, headers=headers)
        assert answer.status_code == 202, answer.text


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("console")
    model = load(folder / "checkpoint")
    with serving(model, folder, loopback=True) as world:
        yield Site(f"{world.url}/", world)


@pytest.fixture(scope="module")
def tab() -> Iterator[Browser]:
    with opened() as browser:
        yield browser


@pytest.fixture
def browser(tab: Browser) -> Iterator[Browser]:
    """A tab of the usual size and theme, in which nothing may go wrong unseen."""
    tab.resize(1280, 860)
    tab.prefer("light")
    tab.complaints()
    yield tab
    assert tab.complaints() == []


@pytest.fixture
def visit(browser: Browser, site: Site, request: pytest.FixtureRequest) -> Visit:
    log, _ = site.world.tenant(re.sub(r"\W", "-", request.node.name))
    key = site.key(log)
    browser.sign_in(site.url, key)
    return Visit(browser, site, log, key)
