"""A service as its clients see it: `Client`, and `AsyncClient` with the same operations."""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, Self

import anyio
import httpx

from .flow import Async, Sync
from .operations.access import Access
from .operations.asking import Asking
from .operations.bulk import Bulk
from .operations.chats import Chats
from .operations.documents import Documents
from .operations.jobs import Jobs
from .operations.memory import Memories
from .operations.operators import Operators
from .operations.uploads import Uploads
from .operations.webhooks import Telling
from .requests import Patience
from .version import __version__

URL = "http://127.0.0.1:8000"
TIMEOUT = httpx.Timeout(120.0, connect=10.0)


class Operations(
    Documents, Bulk, Uploads, Jobs, Asking, Chats, Memories, Access, Telling, Operators
):
    """Everything that can be asked of the service, each operation written once."""


class Client(Operations, Sync):
    """A client whose methods return when they are done. It is a context manager, and may be used
    by several threads.
    """

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        timeout: httpx.Timeout | float | None = TIMEOUT,
        patience: Patience | None = None,
        headers: Mapping[str, str] | None = None,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """
        Args:
            url: where the service answers; None: $MPLUS_URL, else http://127.0.0.1:8000.
            key: of a tenant, or the operator's; None: $MPLUS_API_KEY.
            timeout: seconds that a connection may be silent; None: for ever.
            patience: how long requests are tried again.
            headers: sent with every request.
            transport: of httpx, for proxies and certificates of one's own.
            sleep: waits between tries.

        Raises:
            ValueError: there is no key.
        """
        http = httpx.Client(**_options(url, key, timeout, headers), transport=transport)
        super().__init__(http, sleep)
        self.patience = patience or Patience()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close its connections."""
        self.http.close()


class AsyncClient(Operations, Async):
    """A client whose methods are awaited, under asyncio or trio. It is an asynchronous context
    manager.
    """

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        timeout: httpx.Timeout | float | None = TIMEOUT,
        patience: Patience | None = None,
        headers: Mapping[str, str] | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        """
        Args:
            url: where the service answers; None: $MPLUS_URL, else http://127.0.0.1:8000.
            key: of a tenant, or the operator's; None: $MPLUS_API_KEY.
            timeout: seconds that a connection may be silent; None: for ever.
            patience: how long requests are tried again.
            headers: sent with every request.
            transport: of httpx, for proxies and certificates of one's own.
            sleep: waits between tries.

        Raises:
            ValueError: there is no key.
        """
        http = httpx.AsyncClient(**_options(url, key, timeout, headers), transport=transport)
        super().__init__(http, sleep)
        self.patience = patience or Patience()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close its connections."""
        await self.http.aclose()


def _options(
    url: str | None,
    key: str | None,
    timeout: httpx.Timeout | float | None,
    headers: Mapping[str, str] | None,
) -> dict[str, Any]:
    secret = key or os.environ.get("MPLUS_API_KEY")
    if not secret:
        raise ValueError("give the key of a tenant as `key`, or put it into $MPLUS_API_KEY")
    if not (secret.isascii() and secret.isprintable()):
        raise ValueError("the key has characters that no key has")
    own = {
        "authorization": f"Bearer {secret.strip()}",
        "user-agent": f"mplus-client/{__version__}",
    }
    return {
        "base_url": url or os.environ.get("MPLUS_URL") or URL,
        "headers": {**own, **(headers or {})},
        "timeout": timeout,
    }
