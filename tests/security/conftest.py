"""One real service on loopback, attacked by all tests; its Ray is of this run alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.command import Command
from tests.integration.conftest import _nothing_left_running, ray_folder
from tests.integration.server import Server, operator, serving, tenant
from tests.integration.tiny import make_tiny_checkpoint

__all__ = ["_nothing_left_running", "operator", "ray_folder", "tenant"]


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("attacked")
    command = Command(folder / "data", make_tiny_checkpoint(folder / "checkpoint"))
    with serving(command, err=folder / "err") as server:
        yield server
