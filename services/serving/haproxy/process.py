"""Becomes HAProxy, once what Serve wrote for it is as it has to be. It runs alone, as a script.

Serve's settings trust everybody. They show figures and an admin socket to all users of this
machine, send a line for each request to the collector of logs here, wait an hour for a client that
says nothing, let one client take all connections, give back any id that a client gives its request,
and answer 404 while the API is not there yet. And HAProxy lives on, with its port, if Serve's
process is killed.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import signal
import sys
from pathlib import Path

METRICS, STATS = 1, 2  # ports in what Serve writes, that stand for sockets of this user alone
HEADER_SECONDS = 10  # from the first to the last byte of a request's header
IDLE_SECONDS = 15  # between two requests on a connection
SILENT_SECONDS = 30  # in the middle of a body that is sent, or a response that is read
_PR_SET_PDEATHSIG = 1
_ID = "[A-Za-z0-9._-]{1,64}"  # of a request, as the API takes one from a client
_ADDRESSES = 100_000  # whose connections are counted
_RETRY_SECONDS = 2
_DETAILS = {
    400: ("Bad Request", "the request is not HTTP as this service reads it"),
    408: ("Request Timeout", "the header of the request did not come in time"),
    500: ("Internal Server Error", "something went wrong before the API was reached"),
    502: ("Bad Gateway", "the API ended while it answered; ask again"),
    503: ("Service Unavailable", "the service is starting or coming back; ask again"),
    504: ("Gateway Timeout", "the API did not answer in time; ask again"),
}


def hardened(config: str, folder: Path, connections: int) -> str:
    """What Serve wrote, made fit for clients that nobody knows.

    Args:
        folder: where the sockets and `write_errors`' files are.
        connections: that one address may have open at a time.

    Raises:
        ValueError: Serve wrote something else than what is changed here.
    """
    for name, port in (("metrics", METRICS), ("stats", STATS)):
        ours = rf"\1 unix@{folder}/{name} mode 600"
        config = _once(config, rf"^( *bind) \*?:{port}$", ours, f"listeners for {name}")
    config = re.sub(r"^ *log .*\n", "", config, flags=re.M)
    config = _once(config, r"^( *stats socket .*) mode 666\b", r"\1 mode 600", "admin sockets")
    ours = r"^ *(errorfile|timeout (client|http-request|http-keep-alive)) .*\n"
    config = re.sub(ours, "", config, flags=re.M)
    errors = "".join(f"    errorfile {status} {folder}/{status}.http\n" for status in _DETAILS)
    timeouts = (
        f"    timeout http-request {HEADER_SECONDS}s\n"
        f"    timeout http-keep-alive {IDLE_SECONDS}s\n"
        f"    timeout client {SILENT_SECONDS}s\n"
    )
    config = _once(config, r"^(defaults\n)", rf"\1{timeouts}{errors}", "default sections")
    each = (
        f"    stick-table type ipv6 size {_ADDRESSES} expire 1m store conn_cur\n"
        "    tcp-request connection track-sc0 src\n"
        f"    tcp-request connection reject if {{ sc0_conn_cur gt {connections} }}\n"
        "    http-request del-header x-request-id unless { req.fhdr_cnt(x-request-id) eq 1 }"
        f" {{ req.fhdr(x-request-id) -m reg ^{_ID}$ }}\n"
    )
    config = _once(config, r"^(frontend http_frontend\n *bind .*\n)", rf"\1{each}", "frontends")
    none = r"^ *http-request return status 404 .*$"
    return _once(config, none, "    http-request deny deny_status 503", "answers without an API")


def write_errors(folder: Path) -> None:
    """HAProxy's own responses, as problem details."""
    for status, (title, detail) in _DETAILS.items():
        problem = {
            "type": f"urn:mplus:problem:{title.lower().replace(' ', '-')}",
            "title": title.capitalize(),
            "status": status,
            "detail": detail,
        }
        body = json.dumps(problem)
        retry = f"Retry-After: {_RETRY_SECONDS}\r\n" if status >= 500 else ""
        head = (
            f"HTTP/1.1 {status} {title}\r\nContent-Type: application/problem+json\r\n"
            f"Content-Length: {len(body)}\r\nCache-Control: no-store\r\n{retry}"
            "Connection: close\r\n\r\n"
        )
        (folder / f"{status}.http").write_text(head + body)


def _once(config: str, pattern: str, by: str, what: str) -> str:
    config, found = re.subn(pattern, by, config, flags=re.M)
    if found != 1:
        raise ValueError(f"Serve's HAProxy has {found} {what} instead of one")
    return config


def main() -> None:
    connections, binary, *options = sys.argv[1:]
    path = Path(options[options.index("-f") + 1])
    write_errors(path.parent)
    path.write_text(hardened(path.read_text(), path.parent, int(connections)))
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    os.execv(binary, [binary, *options])


if __name__ == "__main__":
    main()
