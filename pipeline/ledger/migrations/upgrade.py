"""Bring a database to this program's version. Imported only when one is not there yet."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from mplus_ray.model.errors import StorageError

_ADVISORY_LOCK = 0x6D706C7573  # "mplus": who holds it changes the tables
_ALONE = threading.Lock()  # Alembic's context is one a process


@contextmanager
def upgrade(url: str) -> Iterator[Callable[[Connection], None]]:
    """Gives a function that upgrades within the transaction of its connection.

    Several processes may open a new database at once: the first one upgrades it, the others wait
    and find it done.

    Args:
        url: names the database in errors.

    Raises:
        StorageError: an older program without migrations, or a newer one, made the tables.
    """

    def run(connection: Connection) -> None:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
        _check(connection, url)
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")

    with _ALONE:
        yield run


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return config


def _check(connection: Connection, url: str) -> None:
    current = MigrationContext.configure(connection).get_current_revision()
    if current is None and inspect(connection).has_table("tenants"):
        raise StorageError(
            f"the ledger at {url} was made by an older version of this program, which cannot be "
            "carried over; ingest the documents anew into another data directory"
        )
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if current is not None and current not in known:
        raise StorageError(
            f"the ledger at {url} has version {current}, which a newer version of this program "
            f"made; this one knows {', '.join(sorted(known))}: update the program"
        )
