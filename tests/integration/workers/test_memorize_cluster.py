"""`mplus memorize` on a cluster that goes away: it ends and says so, and what waits still waits."""

from __future__ import annotations

import time
import urllib.request
from pathlib import Path

import pytest

from tests.integration.command import Command
from tests.integration.several_nodes import free_port, several_nodes
from tests.integration.tiny import make_tiny_checkpoint

pytestmark = pytest.mark.timeout(400)


def test_without_its_raylet_it_ends_with_a_reason(tmp_path: Path) -> None:
    places = {"RAY_AUTH_MODE": "disabled"}
    mplus = Command(tmp_path / "data", make_tiny_checkpoint(tmp_path / "checkpoint"), places)
    (tmp_path / "raven.txt").write_text("The raven is black. " * 20)
    port = free_port()
    with several_nodes(1, cpus=4) as nodes:
        options = ("--writers", "0:1", "--ray-address", nodes.address, "--metrics-port", str(port))
        running = mplus.start("memorize", *options)
        try:
            _wait_for_metrics(port)
            for node in (*nodes.workers, nodes.head):
                node.lose()
            _, said = running.communicate(timeout=60)
        finally:
            running.kill()
    assert running.returncode not in (0, None), said
    assert "Ray lost the raylet of this machine" in said
    told = mplus("ingest", "-t", "anna", tmp_path / "raven.txt", "--no-wait")
    assert told.code == 0, told.err
    assert mplus("memorize", "--until-idle").code == 0


def _wait_for_metrics(port: int) -> None:
    deadline = time.monotonic() + 200
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5).close()
        except OSError:
            assert time.monotonic() < deadline, "it did not start"
            time.sleep(0.2)
        else:
            return
