"""Connections to the ledger's database, and its failures as ours."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import OperationalError, ProgrammingError, SQLAlchemyError

from mplus_ray.model.errors import BusyError, InvalidInputError, StorageError
from mplus_ray.pipeline.ledger.migrations import HEAD

_WAIT_SECONDS = 30.0  # for another process's transaction
_SCRUB_SECONDS = 5.0  # for readers to let go of the log of old pages
_WITH_CONTENT = "documents, chunks, likenesses, attributes, forgets, failures, jobs, answers"
_VERSION = text("SELECT version_num FROM alembic_version")

_SECRETS = ("password", "passfile", "sslpassword", "sslkey")  # of a URL's query


class Database:
    """Transactions on one URL: readers never wait, writers take turns.

    Args:
        url: `sqlite:///path` or `postgresql+psycopg://…`. The tables are made or brought up to
            date if they are not.

    Raises:
        InvalidInputError: the URL is none, or its driver is not installed.
        StorageError: the database cannot be opened, or its version is not this program's.
    """

    def __init__(self, url: str) -> None:
        self.url = shown_ledger(url)
        with _as_storage_error(self.url):
            try:
                self._engine = create_engine(url, hide_parameters=True, **_engine_options(url))
            except ModuleNotFoundError as error:
                raise InvalidInputError(
                    f"the driver for {self.url} is not installed ({error}); "
                    "`pip install mplus-ray[postgres]` brings the one for PostgreSQL"
                ) from error
            if self._engine.dialect.name == "sqlite":
                _configure_sqlite(self._engine)
                self._reader = self._engine
            else:
                _configure_postgresql(self._engine)
                # All statements of a transaction see one moment, as in SQLite.
                self._reader = self._engine.execution_options(
                    isolation_level="REPEATABLE READ", postgresql_readonly=True
                )
            self._writer = self._engine.execution_options(takes_turns=True)
        try:
            self._migrate()
        except BaseException:
            self.close()
            raise

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One transaction: everything in it is seen as of one moment."""
        with _as_storage_error(self.url), self._reader.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction: all of it is durable on return, or none of it ever was."""
        with _as_storage_error(self.url), self._writer.begin() as connection:
            yield connection

    def scrub(self) -> None:
        """Make what was deleted unrecoverable from the database's own files.

        SQLite overwrites deleted content with zeros, and here gives up its log of old pages.
        PostgreSQL writes its tables anew and drops the old files, which needs room for a copy
        and makes writers wait. It cannot reach its archived write-ahead log, replicas' logs,
        base backups and dumps: those keep the content until their own retention ends.

        Raises:
            BusyError: readers held the log of old pages for too long; try again.
        """
        with _as_storage_error(self.url):
            if self._engine.dialect.name == "sqlite":
                self._scrub_sqlite()
            else:
                self._scrub_postgresql()

    def close(self) -> None:
        self._engine.dispose()

    def _migrate(self) -> None:
        with _as_storage_error(self.url):
            try:
                with self._reader.connect() as connection:
                    current = connection.execute(_VERSION).scalar_one_or_none()
            except (OperationalError, ProgrammingError):
                current = None  # no such table, or a failure that writing meets again
        if current != HEAD:
            from mplus_ray.pipeline.ledger.migrations.upgrade import (
                upgrade,  # brings Alembic, rarely needed
            )

            with upgrade(self.url) as run, self.writing() as connection:
                run(connection)

    def _scrub_sqlite(self) -> None:
        # Not through `connect`: a checkpoint cannot run inside a transaction.
        raw = self._engine.raw_connection()
        try:
            cursor = raw.cursor()
            cursor.execute("PRAGMA busy_timeout=200")
            deadline = time.monotonic() + _SCRUB_SECONDS
            while True:
                busy, _, _ = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                if not busy:
                    return
                if time.monotonic() > deadline:
                    raise BusyError(
                        f"deleted content is still in the write-ahead log of {self.url}, because "
                        "readers hold it; try again when they are done"
                    )
        finally:
            # Thrown away, with its short timeout, instead of back to the pool.
            raw.invalidate()
            raw.close()

    def _scrub_postgresql(self) -> None:
        alone = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        with alone.connect() as connection:
            # `VACUUM FULL` writes each table to a new file and deletes the old one.
            connection.execute(text(f"VACUUM (FULL) {_WITH_CONTENT}"))
            with suppress(ProgrammingError):  # not every user may; the server's own comes soon
                connection.execute(text("CHECKPOINT"))  # the old files go with it


@contextmanager
def _as_storage_error(url: str) -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or error).strip()
        raise StorageError(
            f"the ledger at {url} failed: {reason}; check that its disk has space and that "
            "this user may write there; nothing of the last transaction was kept"
        ) from error


def shown_ledger(url: str) -> str:
    """A ledger's URL without passwords, wherever in it they stand.

    Raises:
        StorageError: it is no URL.
    """
    with _as_storage_error("(the URL given)"):
        parsed = make_url(url)
        secrets = [name for name in _SECRETS if name in parsed.query]
        return parsed.difference_update_query(secrets).render_as_string(hide_password=True)


def _engine_options(url: str) -> dict[str, Any]:
    if make_url(url).get_backend_name() == "sqlite":
        return {}
    # A connection that a restart of the server has cut is replaced before its use.
    return {"pool_pre_ping": True, "connect_args": {"connect_timeout": 10}}


def _configure_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def on_connect(connection: Any, _record: Any) -> None:
        # Python's driver would begin transactions late; we begin them ourselves below.
        connection.isolation_level = None
        connection.execute(f"PRAGMA busy_timeout={int(_WAIT_SECONDS * 1000)}")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")  # acknowledged means on the disk
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA secure_delete=ON")  # forgotten text is overwritten

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        # A transaction that begins as a reader cannot become a writer while another one writes.
        takes_turns = connection.get_execution_options().get("takes_turns", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if takes_turns else "BEGIN")


def _configure_postgresql(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def on_connect(connection: Any, _record: Any) -> None:
        # A client that hangs inside a transaction must not hold its tenant for ever.
        milliseconds = int(_WAIT_SECONDS * 1000)
        connection.execute(f"SET lock_timeout = {milliseconds}")
        connection.execute(f"SET idle_in_transaction_session_timeout = {2 * milliseconds}")
        connection.commit()
