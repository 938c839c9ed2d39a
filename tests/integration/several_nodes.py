"""A Ray cluster of several nodes on this machine, as `ray start` makes one; a node can be lost."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import ray

_RAY = Path(sys.executable).with_name("ray")
_COMMON = ("--block", "--disable-usage-stats", f"--object-store-memory={80 * 2**20}")
_UP_SECONDS = 120.0
# In a process of its own, because the tests' may be connected to another Ray.
_WAIT = """
import sys, time, ray
ray.init(address=sys.argv[1], log_to_driver=False)
while sum(node["Alive"] for node in ray.nodes()) < int(sys.argv[2]):
    time.sleep(0.1)
"""
# A node that is lost is found out about in seconds; one that is slow to start is waited for.
_QUICK = {
    "RAY_AUTH_MODE": "disabled",
    "RAY_raylet_start_wait_time_s": "120",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_failure_threshold": "3",
    "RAY_health_check_initial_delay_ms": "1000",
}


@dataclass(frozen=True)
class Node:
    """One `ray start`, with everything that runs on it."""

    process: subprocess.Popen[bytes]

    def runs(self, process: psutil.Process) -> bool:
        with suppress(psutil.Error):
            return self.process.pid in [above.pid for above in process.parents()]
        return False

    def lose(self) -> None:
        """As if its machine had lost power."""
        with suppress(psutil.Error):
            node = psutil.Process(self.process.pid)
            for each in [node, *node.children(recursive=True)]:
                with suppress(psutil.Error):
                    each.kill()
        self.process.wait()


@dataclass(frozen=True)
class Nodes:
    """The cluster."""

    address: str
    head: Node
    workers: list[Node]

    def alive(self) -> list[bool]:
        return [node.process.poll() is None for node in (self.head, *self.workers)]


def free_port() -> int:
    """One that nobody listens at, for the moment."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


@contextmanager
def several_nodes(
    count: int, cpus: int, environment: Mapping[str, str] | None = None, dashboard: int = 0
) -> Iterator[Nodes]:
    """A head without CPUs, and `count` nodes with so many; all are gone in the end.

    Args:
        environment: of the nodes, and so of what runs on them.
        dashboard: port of it, and of Serve's API; 0: there is none.
    """
    port = free_port()
    address = f"{ray.util.get_node_ip_address()}:{port}"
    folder = tempfile.mkdtemp(prefix="n-", dir=os.environ.get("RAY_TMPDIR", "/tmp"))
    started: list[Node] = []

    def start(*options: str) -> Node:
        with (Path(folder) / f"node-{len(started)}.log").open("wb") as log:
            process = subprocess.Popen(
                [_RAY, "start", *_COMMON, *options],
                env={**os.environ, **_QUICK, **(environment or {})},
                stdout=log,
                stderr=log,
            )
        started.append(Node(process))
        return started[-1]

    try:
        head = start(
            "--head",
            f"--port={port}",
            f"--temp-dir={folder}",
            f"--include-dashboard={bool(dashboard)}",
            *([f"--dashboard-port={dashboard}"] if dashboard else []),
            "--num-cpus=0",
        )
        _wait_until_listening(address)
        workers = []
        for number in range(count):  # two that start at once may end up with the same ports
            workers.append(start(f"--address={address}", f"--num-cpus={cpus}"))
            _wait_until_up(address, 2 + number)
        yield Nodes(address, head, workers)
    finally:
        for node in reversed(started):
            node.lose()


def _wait_until_listening(address: str) -> None:
    """A node gives up if there is no head yet."""
    host, _, port = address.rpartition(":")
    deadline = time.monotonic() + _UP_SECONDS
    while True:
        with suppress(OSError), socket.create_connection((host, int(port)), timeout=1):
            return
        assert time.monotonic() < deadline, "the head did not start"
        time.sleep(0.1)


def _wait_until_up(address: str, count: int) -> None:
    subprocess.run(
        [sys.executable, "-c", _WAIT, address, str(count)],
        env={**os.environ, **_QUICK},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=_UP_SECONDS,
        check=True,
    )
