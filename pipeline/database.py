"""Connections to the ledger's database, and its failures as ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import SQLAlchemyError

from model.errors import StorageError
from pipeline.schema import metadata

_WAIT_SECONDS = 30.0  # for another process's transaction


class Database:
    """Transactions on one URL: readers never wait, writers take turns."""

    def __init__(self, url: str) -> None:
        self.url = url
        with _as_storage_error(url):
            self._engine = create_engine(url)
            if self._engine.dialect.name == "sqlite":
                _configure_sqlite(self._engine)
            self._writer = self._engine.execution_options(takes_turns=True)
        with self.writing() as connection:
            metadata.create_all(connection)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        with _as_storage_error(self.url), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction: all of it is durable on return, or none of it ever was."""
        with _as_storage_error(self.url), self._writer.begin() as connection:
            yield connection

    def close(self) -> None:
        self._engine.dispose()


@contextmanager
def _as_storage_error(url: str) -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        reason = getattr(error, "orig", None) or error
        raise StorageError(
            f"the ledger at {url} failed: {reason}; check that its disk has space and that "
            "this user may write there; nothing of the last transaction was kept"
        ) from error


def _configure_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def on_connect(connection: Any, _record: Any) -> None:
        # Python's driver would begin transactions late; we begin them ourselves below.
        connection.isolation_level = None
        connection.execute(f"PRAGMA busy_timeout={int(_WAIT_SECONDS * 1000)}")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")  # acknowledged means on the disk
        connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        # A transaction that begins as a reader cannot become a writer while another one writes.
        takes_turns = connection.get_execution_options().get("takes_turns", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if takes_turns else "BEGIN")
