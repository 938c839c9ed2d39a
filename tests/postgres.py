"""Ledgers on both databases: a file of SQLite's, and a PostgreSQL server of the tests' own.

A test module takes the fixtures with `pytest_plugins = ["tests.postgres"]`.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import OperationalError

from mplus_ray.pipeline.ledger.database import Database
from mplus_ray.pipeline.ledger.ledger import Ledger
from tests.logs import Clock

_ROOM = 2**30  # bytes
_START_SECONDS = 30.0
_TEMPLATE = "ledger_template"
_FAST = ("fsync=off", "full_page_writes=off", "synchronous_commit=off", "shared_buffers=32MB")


@dataclass
class Postgres:
    """A running server.

    Attributes:
        folder: its data directory.
        address: its URL up to a database's name.
        version: as it counts itself, 150000 for 15.0.
    """

    folder: Path
    address: str
    admin: Engine
    version: int
    _made: list[str] = field(default_factory=list)

    def database(self, template: str = "template0") -> str:
        """The URL of a new database, a copy of `template`."""
        name = f"test_{len(self._made)}"
        self._made.append(name)
        # Copying files is four times as fast as the way through the log that newer servers take.
        strategy = "STRATEGY FILE_COPY" if self.version >= 150000 else ""
        self._run(f"CREATE DATABASE {name} TEMPLATE {template} {strategy}")
        return self.address + name

    def drop(self, url: str) -> None:
        self._run(f"DROP DATABASE {url.rsplit('/', 1)[1]} WITH (FORCE)")

    def name_template(self, url: str) -> None:
        self._run(f"ALTER DATABASE {url.rsplit('/', 1)[1]} RENAME TO {_TEMPLATE}")

    def _run(self, statement: str) -> None:
        with self.admin.connect() as connection:
            connection.execute(text(statement))


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A server on a free port of this machine, stopped and removed at the end of the session."""
    binaries = _binaries()
    if binaries is None:
        pytest.skip("no PostgreSQL server is installed (initdb and postgres were not found)")
    user = _other_user()
    folder = Path(tempfile.mkdtemp(prefix="mplus-pg-", dir=_fast_folder()))
    # The server refuses to run as root, so another user has to own its files.
    identity: dict[str, Any] = {}
    if user is not None:
        os.chown(folder, user.pw_uid, user.pw_gid)
        identity = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    data = folder / "data"
    command: list[str | Path] = [
        binaries / "initdb",
        "-D",
        data,
        "-U",
        "mplus",
        "-A",
        "trust",
        "-E",
        "UTF8",
        "-N",
    ]
    made = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, timeout=60, **identity
    )
    assert made.returncode == 0, made.stderr
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = [f"unix_socket_directories={folder}", "listen_addresses=127.0.0.1", *_FAST]
    settings = [part for option in options for part in ("-c", option)]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [binaries / "postgres", "-D", data, "-p", str(port), *settings],
            cwd=folder,
            stdout=log,
            stderr=log,
            **identity,
        )
    address = f"postgresql+psycopg://mplus@127.0.0.1:{port}/"
    admin = create_engine(address + "postgres", isolation_level="AUTOCOMMIT")
    try:
        _wait_until_up(admin, server, folder / "log")
        with admin.connect() as connection:
            version = int(connection.execute(text("SHOW server_version_num")).scalar_one())
        running = Postgres(data, address, admin, version)
        url = running.database()
        Database(url).close()
        running.name_template(url)
        yield running
    finally:
        admin.dispose()
        server.kill()  # by its own id; its children see it go and end
        server.wait(timeout=15)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty ledger of SQLite's: to copy it is faster than to migrate each anew."""
    path = tmp_path_factory.mktemp("template") / "ledger.db"
    Database(f"sqlite:///{path}").close()
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(
    request: pytest.FixtureRequest, tmp_path: Path, sqlite_template: Path
) -> Iterator[str]:
    """A fresh ledger's URL, on each database in turn."""
    if request.param == "sqlite":
        yield f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'ledger.db')}"
        return
    server: Postgres = request.getfixturevalue("postgres")
    url = server.database(_TEMPLATE)
    yield url
    server.drop(url)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(ledger_url: str, clock: Clock) -> Iterator[Ledger]:
    opened = Ledger(ledger_url, clock)
    yield opened
    opened.close()


def _binaries() -> Path | None:
    folders = [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep)]
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    if config := shutil.which("pg_config"):
        found = subprocess.run([config, "--bindir"], capture_output=True, text=True, check=False)
        folders.append(Path(found.stdout.strip()))
    return next((f for f in folders if (f / "initdb").exists() and (f / "postgres").exists()), None)


def _fast_folder() -> Path | None:
    """Memory as a file system where there is enough of it: each test gets a database of files."""
    shared = Path("/dev/shm")
    return shared if shared.is_dir() and shutil.disk_usage(shared).free > _ROOM else None


def _other_user() -> pwd.struct_passwd | None:
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name: entry for entry in pwd.getpwall()}
    user = names.get("postgres") or names.get("nobody")
    if user is None:
        pytest.skip("PostgreSQL does not run as root, and there is no user to run it as")
    return user


def _wait_until_up(admin: Engine, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            with admin.connect():
                return
        except OperationalError:
            if server.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"PostgreSQL did not start:\n{log.read_text()}")
            time.sleep(0.05)
