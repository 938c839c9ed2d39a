"""`mplus serve` on a cluster of several nodes, one of which is lost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import psutil
import pytest

import tests.s3
from tests.integration.command import Command
from tests.integration.server import ask, memorize, serving, wait_for
from tests.integration.several_nodes import Node, Nodes, several_nodes
from tests.integration.tiny import make_tiny_checkpoint

if TYPE_CHECKING:  # pytest loads it as a plugin
    from tests.postgres import Postgres

pytest_plugins = ["tests.postgres"]
pytestmark = pytest.mark.timeout(600)
s3 = tests.s3.s3

_NODES = 2


@pytest.fixture
def nodes(s3: tests.s3.S3) -> Iterator[Nodes]:
    """They begin with the store's credentials in their environment."""
    with several_nodes(_NODES, cpus=4) as cluster:
        yield cluster


@pytest.fixture
def mplus(tmp_path: Path, postgres: Postgres, s3: tests.s3.S3, nodes: Nodes) -> Command:
    places = {
        "MPLUS_LEDGER_URL": postgres.database(),
        "MPLUS_STORE_URL": s3.url(tmp_path.name),
        "RAY_AUTH_MODE": "disabled",
    }
    return Command(tmp_path / "data", make_tiny_checkpoint(tmp_path / "checkpoint"), places)


def reader_of(nodes: Nodes) -> tuple[psutil.Process, Node] | None:
    """The first reader's process, and the node it runs on."""
    for process in psutil.process_iter():
        try:
            is_reader = "ServeReplica:mplus:Readers" in " ".join(process.cmdline())
        except psutil.Error:
            continue
        for node in nodes.workers:
            if is_reader and node.runs(process):
                return process, node
    return None


def answered_again(client: httpx.Client, question: str, seconds: float) -> str:
    """The answer, once there is one; until then there are errors that say so. The nodes share
    this machine's port, so that a connection may be to the proxy of the one that is lost."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            answer = client.post("/v1/query", json={"question": question, "max_tokens": 4})
        except httpx.TransportError as error:
            said = str(error)
        else:
            if answer.status_code == 200:
                return str(answer.json()["answer"])
            said = answer.text
            assert answer.status_code == 503, said
        assert time.monotonic() < deadline, said
        time.sleep(0.2)


def test_a_node_is_lost_and_nothing_else(mplus: Command, nodes: Nodes, tmp_path: Path) -> None:
    options = ("--ray-address", nodes.address)
    with serving(mplus, *options, err=tmp_path / "err") as server:
        client = server.client(server.keys["MPLUS_API_KEY"])
        memorize(client, "The raven is black. The owl is brown. " * 20, id="raven")
        before = ask(client, "Which colour?")
        found = reader_of(nodes)
        assert found is not None, "the reader runs on a node that is not the head"
        _, node = found

        node.lose()

        assert answered_again(client, "Which colour?", 150) == before["answer"]
        memorize(client, "The swan is white. " * 20, id="swan")
        assert ask(client, "Which colour?")["step"] > before["step"]
        client.close()
    wait_for(lambda: reader_of(nodes) is None)
    assert nodes.alive().count(True) == _NODES, "the service ends, its cluster does not"
    assert mplus("verify", "-t", "default").code == 0


def test_files_of_one_machine_are_refused(mplus: Command, nodes: Nodes) -> None:
    here = Command(mplus.data, mplus.checkpoint, {"RAY_AUTH_MODE": "disabled"})
    done = here("serve", "--port", "0", "--ray-address", nodes.address)
    assert done.code == 2, done.err
    assert "MPLUS_LEDGER_URL" in done.err
    assert "MPLUS_STORE_URL" in done.err
