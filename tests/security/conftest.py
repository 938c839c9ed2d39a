"""One real service on loopback, attacked by all tests; its Ray is of this run alone."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.integration.command import Command
from tests.integration.conftest import _nothing_left_running, ray_folder
from tests.integration.server import Server, new_tenant, serving
from tests.integration.tiny import make_tiny_checkpoint

__all__ = ["_nothing_left_running", "ray_folder"]


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("attacked")
    command = Command(folder / "data", make_tiny_checkpoint(folder / "checkpoint"))
    with serving(command, err=folder / "err") as server:
        yield server


@pytest.fixture(scope="package")
def operator(server: Server) -> Iterator[httpx.Client]:
    with server.client(server.keys["MPLUS_OPERATOR_KEY"]) as client:
        yield client


@pytest.fixture
def tenant(
    server: Server, operator: httpx.Client, request: pytest.FixtureRequest
) -> Iterator[httpx.Client]:
    """The client of a tenant that no other test knows."""
    with new_tenant(server, operator, request.node.nodeid) as client:
        yield client
