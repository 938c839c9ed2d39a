"""Unit tests cannot start Ray and cannot leave this machine."""

from __future__ import annotations

import socket
from typing import Any, NoReturn

import pytest
import ray
import ray._private.worker

_LOCAL = ("127.", "localhost", "::1", "0.0.0.0")


@pytest.fixture(autouse=True)
def _ray_is_forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """`.remote()` and `ray.get` start Ray through `ray.init` too, so they are covered."""

    def refuse(*_: Any, **__: Any) -> NoReturn:
        pytest.fail("a unit test started Ray: test the plain class, or move to tests/integration")

    monkeypatch.setattr(ray, "init", refuse)
    monkeypatch.setattr(ray._private.worker, "init", refuse)


@pytest.fixture(autouse=True)
def _network_is_forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    connect = socket.socket.connect

    def connect_locally(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX and not str(address[0]).startswith(_LOCAL):
            pytest.fail(f"a unit test connected to {address[0]}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect_locally)
