"""A real `mplus serve`: started, waited for, asked over HTTP, and stopped by Ctrl-C."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.integration.command import Command

READY_SECONDS = 240.0  # on a machine that has other things to do
HAPROXY = "haproxy.cfg"  # in its command line
STOP_SECONDS = 10.0  # within which everything has ended


@dataclass
class Server:
    """A process of ours.

    Attributes:
        out: lines of standard output so far; `err`: the file that standard error goes to.
        url: where it answers, once it does.
    """

    process: subprocess.Popen[str]
    data: Path
    err: Path
    out: list[str] = field(default_factory=list)
    url: str = ""

    @property
    def keys(self) -> dict[str, str]:
        """MPLUS_OPERATOR_KEY and MPLUS_API_KEY, if it has printed them."""
        lines = [line.partition("=") for line in self.out if line.startswith("MPLUS_")]
        return {name: value for name, _, value in lines}

    def said(self) -> str:
        return self.err.read_text()

    def client(self, key: str = "", **options: Any) -> httpx.Client:
        """Of the tenant or operator that a key belongs to."""
        headers = {"authorization": f"Bearer {key}"} if key else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=120, **options)

    def wait_until_ready(self) -> None:
        lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._read, args=(lines,), daemon=True).start()
        deadline = time.monotonic() + READY_SECONDS
        while not self.url:
            line = lines.get(timeout=deadline - time.monotonic())
            assert line is not None, f"it ended: {self.said()}"
            self.out.append(line)
            if line.startswith("mplus answers at "):
                self.url = line.split()[3].rstrip(";")

    def wait_until_said(self, text: str) -> None:
        """On standard error."""
        wait_for(lambda: text in self.said() or self.process.poll() is not None)
        assert text in self.said()

    def interrupt(self, number: int = signal.SIGINT) -> None:
        self.process.send_signal(number)

    def stop(self) -> float:
        """Ctrl-C, until nothing of it is left; returns the seconds that took."""
        began = time.monotonic()
        self.interrupt()
        self.ended()
        return time.monotonic() - began

    def ended(self, seconds: float = 60.0) -> int:
        """Wait for its end and that of everything it started; returns its exit code."""
        code = self.process.wait(seconds)
        wait_for(lambda: not self.processes(), seconds)
        return code

    def processes(self) -> list[psutil.Process]:
        """Everything it started, at any depth, orphans as well."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                if process.status() == psutil.STATUS_ZOMBIE:
                    continue
                if process.environ().get("MPLUS_DATA") == str(self.data):
                    found.append(process)
        return found

    def named(self, name: str) -> list[psutil.Process]:
        """Those whose title has this in it, such as `ServeReplica:mplus:Readers`."""
        found = []
        for process in self.processes():
            with suppress(psutil.Error, OSError):
                if name in " ".join(process.cmdline()):
                    found.append(process)
        return found

    def readers(self) -> list[psutil.Process]:
        return self.named("ServeReplica:mplus:Readers")

    def _read(self, lines: queue.Queue[str | None]) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            lines.put(line.rstrip("\n"))
        lines.put(None)


@contextmanager
def started(command: Command, *options: str, err: Path) -> Iterator[Server]:
    """One that begins, with a free port; however the test goes, nothing of it is left."""
    with err.open("w") as stream:
        process = subprocess.Popen(
            command.line("serve", "--port", "0", *options),
            env=command.env,
            stdout=subprocess.PIPE,
            stderr=stream,
            text=True,
        )
    server = Server(process, command.data, err)
    try:
        yield server
    finally:
        for each in server.processes():
            with suppress(psutil.Error):
                each.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


@contextmanager
def serving(command: Command, *options: str, err: Path) -> Iterator[Server]:
    """One that is ready; unless the test ended it, Ctrl-C does."""
    with started(command, *options, err=err) as server:
        server.wait_until_ready()
        yield server
        if server.process.poll() is None:
            server.interrupt()
            assert server.ended() == 0, server.said()


def wait_for(condition: Callable[[], Any], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that in time"
        time.sleep(0.05)


def new_tenant(server: Server, operator: httpx.Client, name: str) -> httpx.Client:
    """A client of a tenant that is made for it, called so as far as a name may be so."""
    plain = "".join(letter if letter.isalnum() else "-" for letter in name)[-100:].strip("-")
    made = operator.post("/v1/tenants", json={"name": plain})
    assert made.status_code == 201, made.text
    wanted = {"scopes": ["query", "ingest", "admin"], "name": "test"}
    key = operator.post(f"/v1/tenants/{plain}/keys", json=wanted)
    assert key.status_code == 201, key.text
    return server.client(key.json()["secret"])


def memorize(client: httpx.Client, text: str, **fields: Any) -> dict[str, Any]:
    """Hand a document in and wait until it can be asked about."""
    answer = client.post("/v1/documents?wait=true", json={"text": text, **fields})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def ask(client: httpx.Client, question: str, **fields: Any) -> dict[str, Any]:
    answer = client.post("/v1/query", json={"question": question, "max_tokens": 4, **fields})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def events(answer: httpx.Response) -> Iterator[tuple[str, Any]]:
    """(name, data) of server-sent events as they come."""
    name = ""
    for line in answer.iter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


def figures(client: httpx.Client) -> dict[str, float]:
    """What /metrics says, summed over labels."""
    found: dict[str, float] = {}
    for line in client.get("/metrics").raise_for_status().text.splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            name = name.partition("{")[0]
            found[name] = found.get(name, 0.0) + float(value)
    return found


def kill(process: psutil.Process) -> None:
    os.kill(process.pid, signal.SIGKILL)


@pytest.fixture(scope="package")
def operator(server: Server) -> Iterator[httpx.Client]:
    """The operator of a package's `server`."""
    with server.client(server.keys["MPLUS_OPERATOR_KEY"]) as client:
        yield client


@pytest.fixture
def tenant(
    server: Server, operator: httpx.Client, request: pytest.FixtureRequest
) -> Iterator[httpx.Client]:
    """A client of a tenant that no other test knows."""
    with new_tenant(server, operator, request.node.nodeid) as client:
        yield client
