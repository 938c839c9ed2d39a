"""The local Ray that every integration test stands on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import ray

import mplus_ray.model


class Probe:
    def packages(self) -> str:
        return mplus_ray.model.__name__

    def environment(self, name: str) -> str | None:
        return os.environ.get(name)


@pytest.mark.usefixtures("local_ray")
def test_an_actor_has_the_packages_and_our_environment() -> None:
    probe: Any = ray.remote(Probe).remote()
    assert ray.get(probe.packages.remote(), timeout=60) == "mplus_ray.model"
    for name in ("HF_HUB_OFFLINE", "MPLUS_TEST_RUN"):
        assert ray.get(probe.environment.remote(name), timeout=60) == os.environ[name]


@pytest.mark.usefixtures("local_ray")
def test_sessions_live_in_our_folder(ray_folder: Path) -> None:
    assert list(ray_folder.rglob("session_*"))
