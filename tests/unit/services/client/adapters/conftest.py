"""One service for all adapters; each test has a tenant of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mplus_client import Client
from tests.api_world import ApiWorld, serving
from tests.worlds import load_model


@pytest.fixture(scope="package")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiWorld]:
    folder = tmp_path_factory.mktemp("adapters")
    with serving(load_model(folder / "checkpoint"), folder, loopback=True) as world:
        yield world


@pytest.fixture
def key(api: ApiWorld) -> str:
    return api.fresh()["authorization"].removeprefix("Bearer ")


@pytest.fixture
def client(api: ApiWorld, key: str) -> Iterator[Client]:
    with Client(api.url, key) as client:
        yield client
