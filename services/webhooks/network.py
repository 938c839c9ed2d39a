"""Connections to where events may be sent, and to nowhere else.

A name is resolved once, and what is connected to is the address that was checked. So a name that
changes its address in between gains nothing.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import httpcore

from mplus_ray.services.webhooks.hosts import RefusedAddressError, WebhookHosts

_LOOKUPS = 64  # names that are looked up at once; nothing ends one that hangs


class CheckedNetwork(httpcore.AsyncNetworkBackend):
    """Connects to addresses that are allowed, and to no other."""

    def __init__(self, hosts: WebhookHosts) -> None:
        self._hosts = hosts
        self._network = httpcore.AnyIOBackend()
        # Not the loop's own threads, on which the API waits for its ledger.
        self._threads = ThreadPoolExecutor(_LOOKUPS, "webhook-lookup")

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the library's
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """A connection to the first address of a host that answers.

        Raises:
            RefusedAddressError: the host has one that is not outside.
            httpcore.ConnectError: none answers.
        """
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout):
                look = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
                found = await loop.run_in_executor(self._threads, look)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout("its host's address was not found in time") from error
        except OSError as error:
            raise httpcore.ConnectError("its host has no address") from error
        failed: httpcore.ConnectError | None = None
        for address in self._hosts.usable(host, (str(each[4][0]) for each in found)):
            try:
                return await self._network.connect_tcp(
                    address, port, timeout, local_address, socket_options
                )
            except httpcore.ConnectError as error:
                failed = error
        raise failed or httpcore.ConnectError("its host has no address")

    def close(self) -> None:
        """Look up no more names."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def connect_unix_socket(self, *arguments: Any, **options: Any) -> Any:
        raise RefusedAddressError("events are not sent to sockets of this machine")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
