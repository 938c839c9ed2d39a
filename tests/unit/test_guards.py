"""The guards of conftest.py do forbid what they say."""

from __future__ import annotations

import socket

import pytest
import ray


def test_ray_cannot_be_initialized() -> None:
    with pytest.raises(pytest.fail.Exception, match="started Ray"):
        ray.init()


def test_a_remote_call_cannot_start_ray() -> None:
    @ray.remote
    def task() -> None: ...

    with pytest.raises(pytest.fail.Exception, match="started Ray"):
        task.remote()
    assert not ray.is_initialized()


def test_a_connection_cannot_leave_the_machine() -> None:
    with socket.socket() as outside, pytest.raises(pytest.fail.Exception, match=r"192\.0\.2\.1"):
        outside.connect(("192.0.2.1", 80))
