"""One attempt: a signed POST whose answer is read no further than its head."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from types import TracebackType
from typing import Self

import httpcore

from mplus_ray import __version__
from mplus_ray.pipeline.ledger.delivery_queue import Attempt, DueDelivery
from mplus_ray.services.webhooks.hosts import RefusedAddressError, WebhookHosts
from mplus_ray.services.webhooks.network import CheckedNetwork
from mplus_ray.services.webhooks.retries import delivered, failed, seconds_of
from mplus_ray.services.webhooks.signature import signed_headers

_SECONDS = 15.0  # that an attempt may take, whatever the receiver does


class Sender:
    """Posts events. Redirects are not followed: an address that was checked is where they go.

    Args:
        connections: at once.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        hosts: WebhookHosts,
        connections: int,
        clock: Callable[[], float],
        seconds: float = _SECONDS,
    ) -> None:
        self._hosts = hosts
        self._clock = clock
        self._seconds = seconds
        self._network = CheckedNetwork(hosts)
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=ssl.create_default_context(),
            max_connections=connections,
            max_keepalive_connections=0,
            network_backend=self._network,
        )

    async def send(self, sent: DueDelivery) -> Attempt:
        """Post an event once; whatever goes wrong is what the attempt says."""
        try:
            async with asyncio.timeout(self._seconds):
                return await self._post(sent)
        except TimeoutError:
            reason = f"no answer came in {self._seconds:g} s"
        except RefusedAddressError as error:
            reason = str(error)
        except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
            reason = f"it cannot be connected to: {_words(error)}"
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException) as error:
            reason = f"the connection broke: {_words(error)}"
        return failed(sent, self._clock(), reason)

    async def _post(self, sent: DueDelivery) -> Attempt:
        body, now = sent.payload.encode(), self._clock()
        headers = {
            "content-type": "application/json",
            "user-agent": f"mplus-ray/{__version__}",
            "content-length": str(len(body)),
            **signed_headers(sent.secrets, sent.event, int(now), body),
        }
        url = httpcore.URL(sent.url)
        lines = [(b"host", _host(url)), *((k.encode(), v.encode()) for k, v in headers.items())]
        # Leaving it closes the connection: nobody reads what the receiver goes on saying.
        async with self._pool.stream("POST", url, headers=lines, content=body) as answer:
            status = answer.status
            found = {name.lower(): value for name, value in answer.headers}
        if 200 <= status < 300:
            return delivered(status)
        now = self._clock()
        after = seconds_of(found.get(b"retry-after", b"").decode("latin-1"), now)
        said = "redirects are not followed" if 300 <= status < 400 else "it has to answer 2xx"
        return failed(sent, now, f"the receiver answered {status}; {said}", status, after)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._pool.aclose()
        self._network.close()


def _host(url: httpcore.URL) -> bytes:
    usual = {b"http": 80, b"https": 443}.get(url.scheme)
    name = b"[" + url.host + b"]" if b":" in url.host else url.host
    return name if url.port in (None, usual) else name + b":%d" % url.port


def _words(error: Exception) -> str:
    """The library's reason, on a line that is not long."""
    return (str(error) or type(error).__name__)[:200].replace("\n", " ")
