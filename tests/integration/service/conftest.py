"""One real service for all files of this folder; each test has a tenant of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.command import Command
from tests.integration.server import Server, operator, serving, tenant
from tests.integration.tiny import make_tiny_checkpoint

__all__ = ["operator", "tenant"]


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Its processes may be killed, as long as they are back when a test ends."""
    folder = tmp_path_factory.mktemp("serve")
    allowed = {"MPLUS_WEBHOOK_HOSTS": "127.0.0.1"}
    command = Command(folder / "data", make_tiny_checkpoint(folder / "checkpoint"), allowed)
    options = ("--readers", "1:2", "--slots", "4")
    with serving(command, *options, err=folder / "err") as server:
        yield server
