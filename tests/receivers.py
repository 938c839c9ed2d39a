"""A real receiver of webhooks on loopback, which answers as a test says."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks.webhooks import Webhook

Answer = tuple[int, Mapping[str, str]]


@dataclass
class Receiver:
    """What arrived, as a receiver of the world would see it.

    Attributes:
        answer: status and headers for the n-th request, from 0.
        arrived: time, headers and body of each.
    """

    server: ThreadingHTTPServer
    answer: Callable[[int], Answer] = lambda number: (200, {})
    arrived: list[tuple[float, dict[str, str], bytes]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/hook"

    @property
    def ids(self) -> list[str]:
        """`webhook-id` of each request."""
        return [headers["webhook-id"] for _, headers, _ in list(self.arrived)]

    def events(self, secret: str) -> list[dict[str, Any]]:
        """The bodies, each verified by the library that receivers use.

        Raises:
            WebhookVerificationError: one is not signed with the secret.
        """
        library = Webhook(secret)
        return [library.verify(body, headers) for _, headers, body in list(self.arrived)]


@contextmanager
def receiving(
    answer: Callable[[int], Answer] = lambda number: (200, {}), port: int = 0
) -> Iterator[Receiver]:
    """One on that port; 0 is a free one."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            with receiver.lock:
                number = len(receiver.arrived)
                headers = {name.lower(): value for name, value in self.headers.items()}
                receiver.arrived.append((time.time(), headers, body))
            status, more = receiver.answer(number)
            self.send_response(status)
            for name, value in more.items():
                self.send_header(name, value)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    receiver = Receiver(server, answer)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
