"""Services that the measurements run against, where they are installed: PostgreSQL and S3."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_START_SECONDS = 30.0
_BUCKET = "mplus-bench"


@contextmanager
def postgres() -> Iterator[str | None]:
    """A ledger URL on a server of its own, flushing to disk as in production; None without one."""
    binaries = _binaries()
    if binaries is None or importlib.util.find_spec("psycopg") is None:
        yield None
        return
    folder = Path(tempfile.mkdtemp(prefix="mplus-bench-pg-"))
    identity = _identity(folder)
    data = str(folder / "data")
    command = [str(binaries / "initdb"), "-D", data, "-U", "mplus", "-A", "trust"]
    subprocess.run(command, cwd=folder, capture_output=True, check=True, **identity)
    port = _free_port()
    options = ["-p", str(port), "-k", str(folder), "-c", "listen_addresses=127.0.0.1"]
    server = subprocess.Popen(
        [str(binaries / "postgres"), "-D", data, *options],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        **identity,
    )
    try:
        address = f"mplus@127.0.0.1:{port}/postgres"
        _wait(server, lambda: _accepts(f"postgresql://{address}"))
        yield f"postgresql+psycopg://{address}"
    finally:
        _stop(server)
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def s3() -> Iterator[Callable[[str], str] | None]:
    """Storage URLs by prefix, of moto in a process of its own; None where it is not installed."""
    if importlib.util.find_spec("moto") is None or importlib.util.find_spec("flask") is None:
        yield None
        return
    port = _free_port()
    os.environ.update(
        AWS_ACCESS_KEY_ID="bench", AWS_SECRET_ACCESS_KEY="bench", AWS_EC2_METADATA_DISABLED="true"
    )
    server = subprocess.Popen(
        [sys.executable, "-c", _MOTO, str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    endpoint = f"127.0.0.1:{port}"
    try:
        _wait(server, lambda: _listens(port))
        _make_bucket(endpoint)
        options = f"endpoint_override={endpoint}&scheme=http&region=us-east-1"
        yield lambda prefix: f"s3://{_BUCKET}/{prefix}?{options}"
    finally:
        _stop(server)


_MOTO = """
import logging, sys
from moto.server import main

logging.getLogger("werkzeug").setLevel(logging.ERROR)
main(["-H", "127.0.0.1", "-p", sys.argv[1]])
"""


def _make_bucket(endpoint: str) -> None:
    from pyarrow.fs import S3FileSystem

    S3FileSystem(
        endpoint_override=endpoint, scheme="http", region="us-east-1", allow_bucket_creation=True
    ).create_dir(_BUCKET)


def _binaries() -> Path | None:
    folders = [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep)]
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((f for f in folders if (f / "initdb").exists() and (f / "postgres").exists()), None)


def _identity(folder: Path) -> dict[str, Any]:
    """The server refuses to run as root, so then another user owns its files."""
    if os.geteuid() != 0:
        return {}
    names = {entry.pw_name: entry for entry in pwd.getpwall()}
    user = names.get("postgres") or names["nobody"]
    os.chown(folder, user.pw_uid, user.pw_gid)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


def _accepts(address: str) -> bool:
    import psycopg

    try:
        psycopg.connect(address).close()
    except psycopg.OperationalError:
        return False
    return True


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _wait(server: subprocess.Popen[bytes], ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not ready():
        if server.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{server.args!r} did not start within {_START_SECONDS:.0f} s")
        time.sleep(0.05)


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(timeout=10)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait(timeout=10)
