"""Where events may be sent: not to this machine, its network, or what passes for it."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading
import time
from typing import Any

import pytest

from mplus_ray.model.errors import InvalidInputError
from mplus_ray.services.webhooks.hosts import (
    RefusedAddressError,
    WebhookHosts,
    is_outside,
    read_hosts,
)
from mplus_ray.services.webhooks.network import CheckedNetwork

INSIDE = [
    "127.0.0.1",
    "127.8.8.8",
    "0.0.0.0",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",  # metadata of most clouds
    "100.100.100.200",  # of another one
    "192.0.0.192",  # and another
    "224.0.0.1",
    "255.255.255.255",
    "::1",
    "::",
    "fe80::1",
    "fd00:ec2::254",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "2002:7f00:1::",  # 6to4 of 127.0.0.1
    "64:ff9b::a9fe:a9fe",  # NAT64 of 169.254.169.254
]


@pytest.mark.parametrize("address", INSIDE)
def test_addresses_that_are_not_of_the_internet(address: str) -> None:
    assert not is_outside(ipaddress.ip_address(address))
    shown = f"[{address}]" if ":" in address else address
    with pytest.raises(InvalidInputError, match="not an address of the internet"):
        WebhookHosts().check_url(f"https://{shown}/hook")
    with pytest.raises(RefusedAddressError):
        WebhookHosts().usable("example.com", ["93.184.215.14", address])


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:2800:21f:cb07::1", "::ffff:8.8.8.8"])
def test_addresses_of_the_internet(address: str) -> None:
    assert is_outside(ipaddress.ip_address(address))
    assert WebhookHosts().usable("example.com", [address, address]) == [address]


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "ftp://example.com/",
        "example.com",
        "https://",
        "https:///path",
        "https://user:word@example.com/",
        "https://example.com@127.0.0.1/",
        "https://example.com/#part",
        "https://example.com:0/",
        "https://example.com:99999/",
        "https://exa mple.com/",
        "https://example.com/\n",
        "https://ex\u00e4mple.com/",
        "https://[::1",
        f"https://example.com/{'x' * 2000}",
    ],
)
def test_urls_that_are_refused(url: str) -> None:
    with pytest.raises(InvalidInputError):
        WebhookHosts().check_url(url)


def test_the_operator_allows_hosts() -> None:
    hosts = read_hosts("127.0.0.1, Hooks.Internal")
    hosts.check_url("http://127.0.0.1:9000/hook")
    hosts.check_url("http://HOOKS.internal/hook")
    hosts.check_url("https://example.com/hook")
    assert hosts.usable("hooks.internal", ["10.0.0.5"]) == ["10.0.0.5"]
    with pytest.raises(InvalidInputError):
        hosts.check_url("http://127.0.0.2/hook")
    assert read_hosts(None) == read_hosts(" ") == WebhookHosts()
    for wrong in ("https://x.com", "x.com:80", "a b", "*"):
        with pytest.raises(InvalidInputError, match="is no host"):
            read_hosts(wrong)


def test_a_name_is_checked_by_the_address_that_is_connected_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It was outside when somebody looked first, and is this machine now."""
    asked: list[Any] = []

    def resolve(host: str, port: int, **options: Any) -> list[Any]:
        asked.append(host)
        address = "93.184.215.14" if len(asked) == 1 else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    async def connect() -> None:
        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        socket.getaddrinfo("rebinds.example", 443)
        await CheckedNetwork(WebhookHosts()).connect_tcp("rebinds.example", 443, 1.0)

    with pytest.raises(RefusedAddressError):
        asyncio.run(connect())
    assert asked == ["rebinds.example"] * 2


def test_names_that_hang_hold_up_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()

    def resolve(host: str, port: int, **options: Any) -> list[Any]:
        over.wait(20)
        return []

    async def connect() -> None:
        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        network = CheckedNetwork(WebhookHosts())
        hanging = [network.connect_tcp(f"{each}.example", 443, 5.0) for each in range(50)]
        tasks = [asyncio.create_task(each) for each in hanging]
        await asyncio.sleep(0.1)
        began = time.monotonic()
        await asyncio.to_thread(time.monotonic)  # as routes wait for the ledger
        assert time.monotonic() - began < 1.0
        over.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        network.close()

    try:
        asyncio.run(connect())
    finally:
        over.set()


@pytest.mark.parametrize("host", ["localhost", "0x7f000001", "2130706433", "127.1"])
def test_spellings_of_this_machine(host: str) -> None:
    with pytest.raises(RefusedAddressError):
        asyncio.run(CheckedNetwork(WebhookHosts()).connect_tcp(host, 443, 5.0))
